"""Thresholds for leaving a network early: an exit's answer is taken where its largest score is high enough."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
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
from reds.stop_costs import StopCosts, count_stops, macs_of_stops

NEVER = 2.0
"""A threshold that no probability reaches."""

STANDARD_ERRORS = 1.645
"""Above the mean loss of the samples that the true one is with 5 % probability, as far as they are drawn by chance."""

MOST_ASKED = 4
"""Exits that one inference asks in turn: more hardly pay, and there would be many combinations to try."""

MOST_LEVELS = 100
"""Thresholds that are tried for one exit."""


@dataclass(frozen=True)
class Stop:
    """A subnetwork whose answer may be the last one."""

    subnetwork: int
    exit: str
    threshold: float
    """Confidence from which on the answer is taken; 0 at the last stop, whose answer always is."""
    share: float
    """Fraction of the samples that stop here."""
    cost: int
    """Of an inference that stops here."""


@dataclass(frozen=True)
class Cascade:
    """Subnetworks that an inference asks in turn until one is sure enough, and what comes of it."""

    stops: tuple[Stop, ...]
    accuracy: float
    """Fraction of the samples answered right."""
    last_accuracy: float
    """The same if the last stop is asked alone."""
    last_cost: int
    """Of the last stop alone."""
    unit: str
    """Of the costs: "macs", "instructions" or "cycles"."""

    @property
    def mean_cost(self) -> float:
        """Of an inference."""
        return sum(stop.share * stop.cost for stop in self.stops)

    @property
    def worst_cost(self) -> int:
        """Of an inference that goes on to the last stop."""
        return self.stops[-1].cost


@dataclass(frozen=True)
class Answers:
    """What each subnetwork of a chain says to each sample."""

    confidences: NDArray[np.float64]
    """(subnetworks, samples)."""
    is_right: NDArray[np.bool_]
    """(subnetworks, samples)."""

    def stopping(self, asked: Sequence[int], thresholds: Sequence[float]) -> NDArray[np.intp]:
        """Per sample which of the asked subnetworks it stops at; behind the last one is that of the chain's end."""
        sure = [self.confidences[place] >= limit for place, limit in zip(asked, thresholds, strict=True)]
        return np.array([*sure, np.ones(self.is_right.shape[1], bool)]).argmax(axis=0)

    def likely_loss(self, asked: Sequence[int], thresholds: Sequence[float]) -> float:
        """The accuracy lost by stopping there, at the upper end of what so few samples leave open."""
        places = np.array([*asked, len(self.is_right) - 1])[self.stopping(asked, thresholds)]
        lost = self.is_right[-1].astype(float) - self.is_right[places, np.arange(len(places))]
        return float(lost.mean() + STANDARD_ERRORS * lost.std() / np.sqrt(len(lost)))

    def levels(self, asked: Sequence[int]) -> list[float]:
        """Thresholds worth trying, from one that is never reached down."""
        found = self.confidences[list(asked)]
        never = float(np.nextafter(np.float32(found.max()), np.float32(np.inf)))
        levels = np.unique(found)
        if len(levels) > MOST_LEVELS:
            levels = np.unique(np.quantile(found, np.linspace(0, 1, MOST_LEVELS), method="lower"))
        return [never, *map(float, levels[::-1])]


def calibrate_exits(
    path: Path | str,
    x: NDArray[np.float32],
    y: NDArray[np.integer],
    loss: float = 0.01,
    board: str | None = None,
    max_arena: int | None = None,
) -> Cascade:
    """Chooses on validation data which exits of a file to ask, and how sure each must be, and writes that into it.

    Of the choices that keep the accuracy it takes the one with the lowest mean cost that it finds: it tries every
    combination of exits, with thresholds that are lowered together first and then one by one. The plans of subnetworks
    that end at a chosen exit keep what the network reads behind it, so that an inference can go on there; they may need
    a larger arena. Exits that are not chosen have no threshold.

    Args:
        path: a file that `emit` wrote; it is replaced.
        x: (samples, *input shape) real inputs of the validation split, never of the test split.
        y: (samples,) labels.
        loss: how much lower the accuracy may be than if all inferences went on, as a fraction. Thresholds are taken
            that lose no more with 95 % certainty, so fewer samples make higher thresholds.
        board: an emulated board that counts what it costs, such as "qemu:cortex-m4"; None counts multiply-accumulates.
        max_arena: bytes of arena that a subnetwork may need with what it keeps for others; an exit that needs more is
            not asked. None means no limit.

    Returns:
        The chosen exits in the order in which they are asked, and at last the subnetwork of the network's own output.

    Raises:
        UsageError: if the file has no exit, if no inference can go on behind one within the arena, if `loss` is not
            from 0 to 1, if the samples do not fit, or if the board is unknown or does not count.
        DeviceError: if the board fails.
    """
    if not 0 <= loss <= 1:
        raise UsageError(f"`loss` must be from 0 to 1. Received: loss={loss}")
    if len(x) == 0 or len(x) != len(y):
        raise UsageError(f"`x` and `y` must hold as many samples, at least one. Received: {len(x)} and {len(y)}")
    file = read_model_file(Path(path))
    network = decode(file)
    if len(network.exits) == 1:
        raise UsageError(f"'{path}' has no exit; name one with `--exits` when you prune.")
    asking_all = encode(_with_thresholds(network, dict.fromkeys(range(1, len(network.exits)), NEVER)))
    runtime = Runtime(asking_all)
    inputs = runtime.quantize(x)
    chain = _chain(runtime, network, inputs[0], max_arena)
    costs = macs_of_stops(network, chain) if board is None else _counted(asking_all, board, chain, inputs[0])
    asked, thresholds = cheapest_choice(_answers(runtime, chain, inputs, y), costs, loss)
    chosen = {network.subnetworks[chain[place]].exit: limit for place, limit in zip(asked, thresholds, strict=True)}
    write_atomically(Path(path), encode(_with_thresholds(network, chosen), measurements_in(file.plan)))
    places = (*asked, len(chain) - 1)
    return run_cascade(path, [chain[place] for place in places], x, y, costs.of(places))


def run_cascade(
    path: Path | str,
    subnetworks: Sequence[int],
    x: NDArray[np.float32],
    y: NDArray[np.integer],
    costs: StopCosts,
) -> Cascade:
    """Asks subnetworks in turn as a device does, until one is sure enough.

    Args:
        path: a file with thresholds at the exits of all but the last of these subnetworks.
        subnetworks: each can go on behind those before it.
        x: (samples, *input shape) real inputs.
        y: (samples,) labels.
        costs: of these subnetworks.
    """
    runtime = Runtime(path)
    network = decode(read_model_file(Path(path)))
    exits = [network.exits[network.subnetworks[subnetwork].exit] for subnetwork in subnetworks]
    stopped, is_right, last_is_right = [], [], []
    for sample, label in zip(runtime.quantize(x), y, strict=True):
        runtime.select(subnetworks[-1])
        last_is_right.append(runtime.invoke(sample).argmax() == label)
        stopped.append(_ask(runtime, subnetworks, sample))
        is_right.append(runtime.output.argmax() == label)
    shares = np.bincount(stopped, minlength=len(subnetworks)) / len(stopped)
    return Cascade(
        tuple(
            Stop(subnetwork, exit_.name, exit_.threshold, float(share), cost)
            for subnetwork, exit_, share, cost in zip(subnetworks, exits, shares, costs.along, strict=True)
        ),
        float(np.mean(is_right)),
        float(np.mean(last_is_right)),
        costs.first[-1],
        costs.unit,
    )


def _ask(runtime: Runtime, subnetworks: Sequence[int], sample: NDArray) -> int:
    """Leaves the answer in the output; returns which of the subnetworks gave it."""
    runtime.select(subnetworks[0])
    runtime.invoke(sample)
    for place, deeper in enumerate(subnetworks[1:]):
        if runtime.is_confident:
            return place
        runtime.continue_in(deeper)
        while runtime.step():
            pass
    return len(subnetworks) - 1


def _with_thresholds(network: CompiledNetwork, thresholds: Mapping[int, float]) -> CompiledNetwork:
    """With these thresholds per exit, and none at the others."""
    exits = (replace(exit_, threshold=thresholds.get(index, 0.0)) for index, exit_ in enumerate(network.exits))
    return replace(network, exits=tuple(exits))


def _counted(content: bytes, board: str, chain: Sequence[int], sample: NDArray) -> StopCosts:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(content)
        return count_stops(path, board, chain, sample)


def _chain(runtime: Runtime, network: CompiledNetwork, sample: NDArray, max_arena: int | None) -> list[int]:
    """Subnetworks that can be asked in turn, and the largest one of the network's own output behind them all."""
    fitting = [info.id for info in runtime.subnetworks if max_arena is None or info.arena_bytes <= max_arena]
    largest_first = sorted(fitting, key=network.macs, reverse=True)
    ends = [index for index in largest_first if network.subnetworks[index].exit == 0]
    for end in ends:
        widest: dict[int, int] = {}
        for index in largest_first:
            if network.subnetworks[index].exit != 0 and _goes_on(runtime, index, end, sample):
                widest.setdefault(network.subnetworks[index].exit, index)
        if widest:
            return [*_in_turn(runtime, network, end, list(widest.values()), sample), end]
    names = " and ".join(f"'{exit_.name}'" for exit_ in network.exits[1:])
    within = "" if max_arena is None else f" within {max_arena} bytes of arena"
    raise UsageError(
        f"No inference can go on behind {names}{within}: no subnetwork runs the same operations before an exit."
    )


def _in_turn(
    runtime: Runtime, network: CompiledNetwork, end: int, candidates: Sequence[int], sample: NDArray
) -> list[int]:
    """Those that can go on in each other, the ones that leave earliest first."""
    to_go = macs_of_stops(network, [*candidates, end]).onward
    chain: list[int] = []
    for place in sorted(range(len(candidates)), key=lambda place: to_go[place][-1], reverse=True):
        if all(_goes_on(runtime, before, candidates[place], sample) for before in chain):
            chain.append(candidates[place])
    return chain


def _goes_on(runtime: Runtime, subnetwork: int, deeper: int, sample: NDArray) -> bool:
    runtime.select(subnetwork)
    runtime.invoke(sample)
    try:
        runtime.continue_in(deeper)
    except UsageError:
        return False
    return True


def _answers(runtime: Runtime, chain: Sequence[int], inputs: NDArray, labels: NDArray[np.integer]) -> Answers:
    confidences, is_right = [], []
    for subnetwork in chain:
        runtime.select(subnetwork)
        scores = runtime.invoke(inputs).reshape(len(inputs), -1)
        confidences.append([_confidence(runtime, one) for one in scores])
        is_right.append(scores.argmax(axis=1) == labels)
    return Answers(np.array(confidences), np.array(is_right))


def _confidence(runtime: Runtime, scores: NDArray) -> float:
    """The largest score, rounded down to a float32, so that the score itself reaches it as a threshold."""
    quantization = runtime.output_quantization
    if quantization is None:
        return float(scores.max())
    exact = float(quantization.scale) * (int(scores.max()) - quantization.zero_point)
    single = np.float32(exact)
    return float(single if float(single) <= exact else np.nextafter(single, np.float32(-np.inf)))


def cheapest_choice(answers: Answers, costs: StopCosts, loss: float) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Places in the chain to ask before its end, and their thresholds."""

    def mean_cost(choice: tuple[tuple[int, ...], tuple[float, ...]]) -> float:
        along = np.array(costs.of((*choice[0], len(answers.is_right) - 1)).along)
        return float(along[answers.stopping(*choice)].mean())

    choices = [(asked, _lowered(answers, asked, loss)) for asked in _combinations(len(answers.is_right) - 1)]
    return min(choices, key=mean_cost)


def _combinations(exits: int) -> Iterator[tuple[int, ...]]:
    for asked in range(min(exits, MOST_ASKED) + 1):
        yield from combinations(range(exits), asked)


def _lowered(answers: Answers, asked: Sequence[int], loss: float) -> tuple[float, ...]:
    """Thresholds that lose no more than is allowed: lowered together first, then one by one."""
    if not asked:
        return ()
    levels = answers.levels(asked)
    thresholds = [levels[0]] * len(asked)
    for level in levels:
        if answers.likely_loss(asked, [level] * len(asked)) > loss:
            break
        thresholds = [level] * len(asked)
    for place in range(len(asked)):
        for level in answers.levels(asked[place : place + 1]):
            lower = [*thresholds[:place], min(level, thresholds[place]), *thresholds[place + 1 :]]
            if answers.likely_loss(asked, lower) > loss:
                break
            thresholds = lower
    return tuple(thresholds)
