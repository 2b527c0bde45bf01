"""Thresholds for leaving a network early: an exit's answer is taken where its largest score is high enough."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reds.compiled import CompiledNetwork
from reds.emitting import encode
from reds.errors import UsageError
from reds.files import write_atomically
from reds.model_file import decode, read_model_file
from reds.plan import measurements_in
from reds.runtime import Runtime

NEVER = 2.0
"""A threshold that no probability reaches."""


STANDARD_ERRORS = 1.645
"""Above the mean loss of the samples that the true one is with 5 % probability, as far as they are drawn by chance."""


@dataclass(frozen=True)
class CalibratedExit:
    """How often an exit's answer is taken, and at what price."""

    exit: str
    threshold: float
    subnetwork: int
    """What runs to the exit."""
    deeper: int
    """Where an inference goes on that is not sure there."""
    left_early: float
    """Fraction of the samples whose answer is that of the exit."""
    accuracy: float
    """Fraction answered right, with the samples that went on."""
    deeper_accuracy: float
    """The same if all went on."""


@dataclass(frozen=True)
class Answers:
    """What a subnetwork that ends at an exit, and the one in which it goes on, say to each sample."""

    subnetwork: int
    deeper: int
    confidences: NDArray[np.float64]
    is_right: NDArray[np.bool_]
    is_right_deeper: NDArray[np.bool_]

    def accuracy(self, threshold: float) -> float:
        """Fraction answered right where samples below a threshold go on."""
        return float(np.where(self.confidences >= threshold, self.is_right, self.is_right_deeper).mean())

    def lowest_threshold(self, loss: float) -> float:
        """The lowest threshold from which on all lose at most so much accuracy; above all confidences if none does."""
        lowest = float(np.nextafter(np.float32(self.confidences.max()), np.float32(np.inf)))
        for threshold in np.unique(self.confidences)[::-1]:
            if self.likely_loss(threshold) > loss:
                break
            lowest = float(threshold)
        return lowest

    def likely_loss(self, threshold: float) -> float:
        """The accuracy lost by a threshold, at the upper end of what so few samples leave open."""
        lost = self.is_right_deeper.astype(float) - self.is_right
        lost[self.confidences < threshold] = 0
        return float(lost.mean() + STANDARD_ERRORS * lost.std() / np.sqrt(len(lost)))


def calibrate_exits(
    path: Path | str, x: NDArray[np.float32], y: NDArray[np.integer], loss: float = 0.01
) -> tuple[CalibratedExit, ...]:
    """Chooses the thresholds of a file's exits on validation data and writes them into the file.

    The plans of subnetworks that end at an exit then keep what the network reads behind it, so that an inference can go
    on there; they may need a larger arena.

    Args:
        path: a file that `emit` wrote; it is replaced.
        x: (samples, *input shape) real inputs of the validation split, never of the test split.
        y: (samples,) labels.
        loss: how much lower the accuracy may be than if all inferences went on, as a fraction. A threshold is taken
            where it loses no more with 95 % certainty, so fewer samples make higher thresholds.

    Returns:
        One for each subnetwork that ends at an exit.

    Raises:
        UsageError: if the file has no exit, if no inference can go on behind one, if `loss` is not from 0 to 1, or if
            the samples do not fit.
    """
    if not 0 <= loss <= 1:
        raise UsageError(f"`loss` must be from 0 to 1. Received: loss={loss}")
    if len(x) == 0 or len(x) != len(y):
        raise UsageError(f"`x` and `y` must hold as many samples, at least one. Received: {len(x)} and {len(y)}")
    file = read_model_file(Path(path))
    network = decode(file)
    if len(network.exits) == 1:
        raise UsageError(f"'{path}' has no exit; name one with `--exits` when you prune.")
    runtime = Runtime(encode(_with_thresholds(network, [NEVER] * (len(network.exits) - 1))))
    inputs = runtime.quantize(x)
    shallow = [index for index, subnetwork in enumerate(network.subnetworks) if subnetwork.exit != 0]
    answers = [_answers(runtime, network, index, inputs, y) for index in shallow]
    thresholds = [
        max(one.lowest_threshold(loss) for one in answers if network.subnetworks[one.subnetwork].exit == exit_)
        for exit_ in range(1, len(network.exits))
    ]
    write_atomically(path, encode(_with_thresholds(network, thresholds), measurements_in(file.plan)))
    return tuple(_calibrated(network, one, thresholds) for one in answers)


def _with_thresholds(network: CompiledNetwork, thresholds: Sequence[float]) -> CompiledNetwork:
    own, *others = network.exits
    exits = (replace(exit_, threshold=one) for exit_, one in zip(others, thresholds, strict=True))
    return replace(network, exits=(own, *exits))


def _calibrated(network: CompiledNetwork, answers: Answers, thresholds: Sequence[float]) -> CalibratedExit:
    exit_ = network.subnetworks[answers.subnetwork].exit
    threshold = thresholds[exit_ - 1]
    return CalibratedExit(
        network.exits[exit_].name,
        threshold,
        answers.subnetwork,
        answers.deeper,
        float((answers.confidences >= threshold).mean()),
        answers.accuracy(threshold),
        float(answers.is_right_deeper.mean()),
    )


def _answers(
    runtime: Runtime, network: CompiledNetwork, subnetwork: int, inputs: NDArray, labels: NDArray[np.integer]
) -> Answers:
    deeper = _deeper(runtime, network, subnetwork, inputs[0])
    runtime.select(subnetwork)
    confidences, is_right, is_right_deeper = [], [], []
    for sample, label in zip(inputs, labels, strict=True):
        scores = runtime.invoke(sample)
        confidences.append(_confidence(runtime, scores))
        is_right.append(scores.argmax() == label)
        runtime.continue_in(deeper)
        while runtime.step():
            pass
        is_right_deeper.append(runtime.output.argmax() == label)
    return Answers(subnetwork, deeper, np.array(confidences), np.array(is_right), np.array(is_right_deeper))


def _deeper(runtime: Runtime, network: CompiledNetwork, subnetwork: int, sample: NDArray) -> int:
    """The largest subnetwork of the network's own output in which an inference that took an exit can go on."""
    candidates = [index for index, other in enumerate(network.subnetworks) if other.exit == 0]
    for candidate in sorted(candidates, key=network.macs, reverse=True):
        runtime.select(subnetwork)
        runtime.invoke(sample)
        try:
            runtime.continue_in(candidate)
        except UsageError:
            continue
        return candidate
    name = network.exits[network.subnetworks[subnetwork].exit].name
    raise UsageError(f"No inference can go on behind exit '{name}': no subnetwork runs the same operations before it.")


def _confidence(runtime: Runtime, scores: NDArray) -> float:
    """The largest score, rounded down to a float32, so that the score itself reaches it as a threshold."""
    quantization = runtime.output_quantization
    if quantization is None:
        return float(scores.max())
    exact = float(quantization.scale) * (int(scores.max()) - quantization.zero_point)
    single = np.float32(exact)
    return float(single if float(single) <= exact else np.nextafter(single, np.float32(-np.inf)))
