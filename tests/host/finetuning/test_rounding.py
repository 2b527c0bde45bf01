"""The rounded network in float is the int8 network: libreds is the oracle."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from random_networks import random_supernet

from reds import cost
from reds.emitting import emit
from reds.finetuning.rounding import grid_table, round_to_grid, rounded_forward
from reds.finetuning.weights import weights_of
from reds.forward import ends_with_softmax
from reds.graph import Supernet
from reds.quantizing import SubnetworkGrids, activation_grids
from reds.runtime import Runtime

LARGEST_STEPS = 4
"""Roundings at ties differ and may add up along the layers, in steps of the output."""
MEAN_STEPS = 0.2


def _outputs(supernet: Supernet, index: int, x: np.ndarray, grids: SubnetworkGrids) -> np.ndarray:
    family, batch_norm = supernet.family, supernet.batch_norms[index]
    chosen, graph = family.subnetworks[index], family.graph
    tap = family.exits[chosen.exit - 1].tap if chosen.exit else None
    table = grid_table(graph, grids)
    outputs = rounded_forward(graph, x, weights_of(graph), chosen.widths, batch_norm, table, tap)
    if tap is not None:
        source = graph.nodes[tap].name
        graph = family.exits[chosen.exit - 1].head
        table = grid_table(graph, grids, source)
        outputs = rounded_forward(graph, outputs, weights_of(graph), cost.full_widths(graph), batch_norm, table)
    return np.asarray(ops.softmax(outputs, axis=-1) if ends_with_softmax(graph) else outputs)


@settings(derandomize=True, deadline=None, max_examples=12)
@given(st.integers(0, 2**32 - 1))
def test_outputs_are_those_of_libreds(seed: int) -> None:
    supernet = random_supernet(seed)
    x = np.random.default_rng(seed).standard_normal((40, *supernet.family.graph.input_shape)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        runtime = Runtime(emit(supernet, Path(folder) / "model.tflite", "int8", x))
    quantization = runtime.output_quantization
    assert quantization is not None
    inputs = runtime.quantize(x)
    for index, grids in enumerate(activation_grids(supernet, x)):
        runtime.select(index)
        expected = runtime.invoke(inputs).astype(int)
        actual = quantization.quantize(_outputs(supernet, index, x, grids)).astype(int)
        steps = np.abs(actual.reshape(expected.shape) - expected)
        assert steps.max() <= LARGEST_STEPS
        assert steps.mean() <= MEAN_STEPS


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0, 0.0), (0.24, 0.0), (0.26, 0.5), (-0.6, -0.5), (9.0, 2.0), (-9.0, -1.0)]
)
def test_values_go_to_the_nearest_on_the_grid(value: float, expected: float) -> None:
    assert float(round_to_grid(ops.array([value]), np.array([0.5, -1.0, 2.0], np.float32))[0]) == expected
