"""Fits the cost table of a core to what a board counts for small networks of every kind of operation."""

import tempfile
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reds.calibration_networks import fixed_networks, narrowable_networks
from reds.compiled import CompiledLayer, CompiledNetwork
from reds.cost import full_widths
from reds.emitting import emit, encode
from reds.files import write_atomically
from reds.graph import Family, Graph, Subnetwork, Supernet
from reds.model_file import decode, read_model_file
from reds.targets import QUANTITIES, Costs, Target, is_dense, kind_of, quantities, run_of, window_of
from reds_bench.client import Bench
from reds_bench.emulator import boot, counting_target

LANES = tuple(product((1, 4), (1, 2, 4), (1, 2, 4)))
"""What a kernel may take at a time: weights, output channels and positions; those that fit best are taken."""

BLOCKS = (None, 8, 16, 32)
"""Output channels for which a window may be gathered once; what fits best is taken, with the lanes of the first."""

SHORT_RUN = 3
"""Weights in a row up to which kernels that take a word of them at a time go another way."""

LEAST_MEASURED = 20
"""Operations that a row of costs needs."""

WORTHWHILE_SPLIT = 0.8
"""A kind is split by the size of its window where that leaves at most this part of the error."""

GOOD_ERROR = 0.03
"""Mean relative error below which a kind is not split."""

MOST_SPLITS = 16
"""Sizes of windows that are tried, about."""

LEAST_COEFFICIENT = 1e-6
"""Instructions below which a coefficient is rounding."""

SIGNIFICANT_DIGITS = 5

SUBNETWORKS = 24
"""Random widths of each network."""

ROUNDS = 2
"""How often each network is measured, at other widths each time."""

_CALIBRATION_SAMPLES = 8


@dataclass(frozen=True)
class Measured:
    """What one operation cost."""

    layer: CompiledLayer
    input_channels: int
    output_channels: int
    instructions: int

    @property
    def window(self) -> int:
        """Taps times the input channels of one group; 0 for an operation without weights."""
        return 0 if self.layer.weights is None else window_of(self.layer, self.input_channels)


@dataclass(frozen=True)
class Counts:
    """What a board counted."""

    operations: tuple[Measured, ...]
    overheads: tuple[int, ...]
    """Per inference the instructions outside of its operations."""


def calibrate(board: str, path: Path | str, progress: Callable[[str], None] = lambda _: None) -> Target:
    """Measures small int8 networks on a board and fits its cost table.

    Args:
        board: an emulated board that counts instructions, such as "qemu:cortex-m4".
        path: the JSON file to write.
        progress: called with a line before each network.

    Returns:
        The table, with the error of its fit.

    Raises:
        UsageError: if the board is unknown or does not count instructions, or the file cannot be written.
        DeviceError: if the board fails.
    """
    name = counting_target(board)
    counts = [measure(board, graph, progress, seed) for graph in narrowable_networks() for seed in range(ROUNDS)]
    fixed = (network for seed in range(ROUNDS) for network in fixed_networks(seed))
    counts += [measure_fixed(board, network, progress) for network in fixed]
    operations = [one for each in counts for one in each.operations]
    overheads = [overhead for each in counts for overhead in each.overheads]
    target = Target(name, max(0.0, float(np.mean(overheads))), fit(operations))
    write_atomically(path, target.to_json().encode())
    return target


def fit(operations: Sequence[Measured]) -> dict[str, tuple[Costs, ...]]:
    """Fits the costs of each kind of operation by least squares of the relative errors.

    Args:
        operations: measured operations, many of each kind; repeated ones count once.

    Returns:
        Per kind the rows of its costs.
    """
    distinct = {_what_is_measured(one): one for one in operations}
    by_kind: dict[str, list[Measured]] = defaultdict(list)
    for one in distinct.values():
        by_kind["fully_connected" if is_dense(one.layer, one.input_channels) else kind_of(one.layer)].append(one)
    return {kind: _fit_rows(members) for kind, members in by_kind.items()}


def measure(board: str, graph: Graph, progress: Callable[[str], None] = lambda _: None, seed: int = 0) -> Counts:
    """Counts the instructions of every operation of a network at random widths.

    Args:
        board: an emulated board that counts instructions.
        graph: an untrained network without batch normalisation.
        progress: called with a line.
        seed: of widths and inputs.

    Returns:
        The counts.

    Raises:
        UsageError: if the board is unknown.
        DeviceError: if the board fails.
    """
    progress(f"counting the operations of {graph.name} on {board}")
    with tempfile.TemporaryDirectory() as folder:
        path = emit(_at_random_widths(graph, seed), Path(folder) / "model.tflite", "int8", _inputs(graph, seed))
        return _counted(board, path, seed)


def measure_fixed(board: str, network: CompiledNetwork, progress: Callable[[str], None] = lambda _: None) -> Counts:
    """Counts the instructions of every operation of a network that is compiled already.

    Args:
        board: an emulated board that counts instructions.
        network: an int8 network; its subnetworks are measured as they are.
        progress: called with a line.

    Returns:
        The counts.

    Raises:
        UsageError: if the board is unknown.
        DeviceError: if the board fails.
    """
    progress(f"counting the operations of {network.name} on {board}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(encode(network))
        return _counted(board, path, seed=0)


def _at_random_widths(graph: Graph, seed: int) -> Supernet:
    generator = np.random.default_rng(seed)
    full = full_widths(graph)
    narrow = [tuple(int(generator.integers(1, size + 1)) for size in full) for _ in range(SUBNETWORKS)]
    subnetworks = tuple(Subnetwork(f"widths{index}", widths) for index, widths in enumerate([full, *narrow]))
    importance = tuple(np.ones(group.size) for group in graph.groups)
    return Supernet(Family(graph, importance, (), subnetworks), ({},) * len(subnetworks))


def _inputs(graph: Graph, seed: int) -> NDArray[np.float32]:
    shape = (_CALIBRATION_SAMPLES, *graph.input_shape)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _counted(board: str, path: Path, seed: int) -> Counts:
    network = decode(read_model_file(path))
    with boot(board, path) as url, Bench(url) as bench:
        bench.upload(_input(network, seed).tobytes())
        return _count(bench, network)


def _input(network: CompiledNetwork, seed: int) -> NDArray:
    generator = np.random.default_rng(seed)
    if network.input_dtype == np.float32:
        return generator.normal(size=network.input_shape).astype(np.float32)
    return generator.integers(-128, 128, network.input_shape, np.int8)


def _count(bench: Bench, network: CompiledNetwork) -> Counts:
    operations: list[Measured] = []
    overheads = []
    for index, subnetwork in enumerate(network.subnetworks):
        bench.select(index)
        bench.infer(iterations=1, warmup=0)
        costs = bench.operations()
        overheads.append(bench.stats().last_instructions - sum(cost.instructions for cost in costs))
        for step, cost in zip(subnetwork.steps, costs, strict=True):
            layer = network.layers[step.layer]
            operations.append(Measured(layer, step.input_channels, step.output_channels, cost.instructions))
    return Counts(tuple(operations), tuple(overheads))


def _what_is_measured(one: Measured) -> Hashable:
    """What one operation's instructions depend on; without free channels it is the same in every subnetwork."""
    shapes = (one.layer.input_shape, one.layer.output_shape)
    return one.layer.operation, one.layer.inputs, shapes, one.input_channels, one.output_channels


def _fit_rows(members: Sequence[Measured]) -> tuple[Costs, ...]:
    """Rows for short runs, for smaller windows and for the rest, each only where it makes the fit better."""
    short = [one for one in members if run_of(one.layer, one.input_channels) <= SHORT_RUN]
    others = [one for one in members if run_of(one.layer, one.input_channels) > SHORT_RUN]
    if min(len(short), len(others)) < LEAST_MEASURED:
        return _fit_windows(members, None, None)
    return (*_fit_windows(short, SHORT_RUN, None), *_fit_windows(others, None, None))


def _fit_windows(members: Sequence[Measured], most_run: int | None, most_window: int | None) -> tuple[Costs, ...]:
    """Rows by the size of the window, split again and again while that is worthwhile."""
    whole = _fit_row(members, most_run, most_window)
    candidates = [
        (_fit_row(small, most_run, size), _fit_row(large, most_run, most_window), size)
        for size, small, large in _splits(members)
    ]
    if not candidates or whole.mean_error < GOOD_ERROR:
        return (whole,)
    first, second, size = min(candidates, key=lambda split: _mean_error(split[:2]))
    if _mean_error((first, second)) > WORTHWHILE_SPLIT * whole.mean_error:
        return (whole,)
    small = [one for one in members if one.window <= size]
    large = [one for one in members if one.window > size]
    return (*_fit_windows(small, most_run, size), *_fit_windows(large, most_run, most_window))


def _splits(members: Sequence[Measured]) -> Iterator[tuple[int, list[Measured], list[Measured]]]:
    """Sizes of windows with the operations up to each and above it."""
    sizes = sorted({one.window for one in members})
    for size in sizes[:: max(1, len(sizes) // MOST_SPLITS)]:
        small = [one for one in members if one.window <= size]
        large = [one for one in members if one.window > size]
        if min(len(small), len(large)) >= LEAST_MEASURED:
            yield size, small, large


def _mean_error(rows: Sequence[Costs]) -> float:
    """Of all operations that the rows were fitted to, relative to what was measured."""
    return sum(row.measured * row.mean_error for row in rows) / sum(row.measured for row in rows)


def _fit_row(members: Sequence[Measured], most_run: int | None, most_window: int | None) -> Costs:
    fits = (_fit_lanes(members, most_run, most_window, lanes, None) for lanes in LANES)
    lanes = min(fits, key=lambda row: row.mean_error).lanes
    fits = (_fit_lanes(members, most_run, most_window, lanes, block) for block in BLOCKS)
    return min(fits, key=lambda row: row.mean_error)


def _fit_lanes(
    members: Sequence[Measured],
    most_run: int | None,
    most_window: int | None,
    lanes: tuple[int, int, int],
    block: int | None,
) -> Costs:
    counted = np.array([one.instructions for one in members], np.float64)
    relative = _amounts(members, lanes, block) / counted[:, np.newaxis]
    coefficients = non_negative_least_squares(relative, np.ones(len(members)))
    errors = np.abs(relative @ coefficients - 1)
    named = {
        name: _rounded(value)
        for name, value in zip(QUANTITIES, coefficients.tolist(), strict=True)
        if value > LEAST_COEFFICIENT
    }
    return Costs(
        most_run, most_window, lanes, block, named, len(members), _rounded(errors.mean()), _rounded(errors.max())
    )


def _amounts(members: Sequence[Measured], lanes: tuple[int, int, int], block: int | None) -> NDArray[np.float64]:
    """Rows of quantities, of all operations of a layer at once."""
    of_layer: dict[int, list[int]] = defaultdict(list)
    for index, one in enumerate(members):
        of_layer[id(one.layer)].append(index)
    result = np.zeros((len(members), len(QUANTITIES)))
    for indices in of_layer.values():
        inputs = np.array([members[index].input_channels for index in indices])
        outputs = np.array([members[index].output_channels for index in indices])
        amounts = quantities(members[indices[0]].layer, inputs, outputs, lanes, block)
        for column, name in enumerate(QUANTITIES):
            result[indices, column] = amounts[name]
    return result


def _rounded(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def non_negative_least_squares(matrix: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients from 0 with the least sum of squared errors (Lawson and Hanson 1974).

    Args:
        matrix: (rows, coefficients).
        wanted: (rows,).

    Returns:
        (coefficients,).
    """
    result = np.zeros(matrix.shape[1])
    free: list[int] = []
    for _ in range(10 * matrix.shape[1]):
        gradient = matrix.T @ (wanted - matrix @ result)
        gradient[free] = -np.inf
        if gradient.max() <= 1e-9 * np.abs(matrix.T @ wanted).max():
            break
        free.append(int(gradient.argmax()))
        while True:
            best = np.linalg.lstsq(matrix[:, free], wanted, rcond=None)[0]
            if best.min() > 0:
                break
            old = result[free]
            blocking = best <= 0
            step = float((old[blocking] / np.maximum(old[blocking] - best[blocking], 1e-300)).min())
            moved = old + step * (best - old)
            result[:] = 0
            result[free] = np.where(blocking & (moved <= 1e-15), 0.0, moved)
            free = [index for index in free if result[index] > 0]
            if not free:
                best = np.zeros(0)
                break
        result[:] = 0
        result[free] = best
    return result
