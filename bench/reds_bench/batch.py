"""Runs a batch of samples through one subnetwork of a connected device."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from reds_bench.client import Bench


@dataclass(frozen=True)
class BatchResult:
    """What a device answered to a batch."""

    outputs: NDArray
    """(samples, output elements), exact to the byte."""
    instructions: int | None
    """Of the last inference; None on a device that does not count them."""
    unit: str
    """What the instructions are: "instructions" or "cycles"."""


def run_batch(
    bench: Bench,
    subnetwork: int,
    inputs: NDArray,
    output_type: DTypeLike = np.uint8,
    advance: Callable[[], None] = lambda: None,
) -> BatchResult:
    """Selects a subnetwork and runs every sample through it.

    Args:
        bench: the device.
        subnetwork: its number.
        inputs: (samples, ...) in the type of the model's input; of a model with a batch above 1 a sample is a batch.
        output_type: type of the model's output; by default its bytes are returned.
        advance: called after each sample.

    Returns:
        The exact outputs and the instructions of an inference.

    Raises:
        DeviceError: if the device refuses or fails.
    """
    bench.select(subnetwork)
    outputs = []
    for sample in inputs:
        bench.upload(np.ascontiguousarray(sample).tobytes())
        bench.infer(iterations=1, warmup=0)
        outputs.append(np.frombuffer(bench.output(), np.dtype(output_type).newbyteorder("<")))
        advance()
    stats = bench.stats()
    return BatchResult(np.stack(outputs), stats.last_instructions or None, stats.unit)
