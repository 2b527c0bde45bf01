"""Thresholds for asking subnetworks in turn: an answer is taken where its largest score is high enough."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reds.asking import Chain, Step, ask, chain_of
from reds.compiled import CompiledNetwork
from reds.emitting import encode
from reds.errors import UsageError
from reds.files import write_atomically
from reds.model_file import decode, read_model_file, text
from reds.plan import measurements_in
from reds.runtime import Runtime
from reds.stop_costs import StopCosts, count_stops, macs_of_stops

NEVER = 2.0
"""A threshold that no probability reaches."""

STANDARD_ERRORS = 1.645
"""Above the mean loss of the samples that the true one is with 5 % probability, as far as they are drawn by chance."""

MOST_ASKED = 5
"""Subnetworks that one inference asks in turn: more hardly pay."""

MOST_EXTENDED = 12
"""Choices of subnetworks that are tried with one more, the cheapest of as many subnetworks."""

MOST_LEVELS = 100
"""Thresholds that are tried for one subnetwork."""


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
    runs_again: bool
    """Whether it runs from the input although another subnetwork ran before: nothing that it needs is there then."""


@dataclass(frozen=True)
class Cascade:
    """Subnetworks that an inference asks in turn until one is sure enough, and what comes of it."""

    stops: tuple[Stop, ...]
    accuracy: float
    """Fraction of the samples answered right."""
    alone: int
    """The largest subnetwork: what it answers alone is what the accuracy is compared with."""
    alone_accuracy: float
    alone_cost: int
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
    alone: int
    """Place of the subnetwork with whose accuracy others are compared."""

    def stopping(self, asked: Sequence[int], thresholds: Sequence[float]) -> NDArray[np.intp]:
        """Per sample at which of the asked subnetworks it stops; thresholds are those of all but the last one."""
        sure = [self.confidences[place] >= limit for place, limit in zip(asked[:-1], thresholds, strict=True)]
        return np.array([*sure, np.ones(self.is_right.shape[1], bool)]).argmax(axis=0)

    def likely_loss(self, asked: Sequence[int], thresholds: Sequence[float]) -> float:
        """The accuracy lost by stopping there, at the upper end of what so few samples leave open."""
        places = np.array(asked)[self.stopping(asked, thresholds)]
        lost = self.is_right[self.alone].astype(float) - self.is_right[places, np.arange(len(places))]
        return float(lost.mean() + STANDARD_ERRORS * lost.std() / np.sqrt(len(lost)))

    def levels(self, places: Sequence[int]) -> list[float]:
        """Thresholds worth trying, from one that is never reached down."""
        found = self.confidences[list(places)]
        never = float(np.nextafter(np.float32(found.max()), np.float32(np.inf)))
        levels = np.unique(found)
        if len(levels) > MOST_LEVELS:
            levels = np.unique(np.quantile(found, np.linspace(0, 1, MOST_LEVELS), method="lower"))
        return [never, *map(float, levels[::-1])]


@dataclass(frozen=True)
class Choice:
    """Places in a chain to ask in turn."""

    asked: tuple[int, ...]
    thresholds: tuple[float, ...]
    """Of all but the last one."""
    mean_cost: float


def calibrate_cascade(
    path: Path | str,
    x: NDArray[np.float32],
    y: NDArray[np.integer],
    loss: float = 0.01,
    board: str | None = None,
    max_arena: int | None = None,
) -> Cascade:
    """Chooses on validation data which subnetworks of a file to ask in turn, how sure each must be, and writes that.

    Where an inference was not sure enough at an exit, it goes on behind it with the same features, if the next
    subnetwork has those; any other one runs from the input, which the caller must have kept. Of the choices that keep
    the accuracy it takes the one with the lowest mean cost that it finds: it begins with each subnetwork alone, adds
    one at a time to the cheapest choices, and lowers the thresholds of each together first and then one by one. The
    plans of subnetworks that end at an exit behind which an inference goes on keep what is read there; they may need a
    larger arena. Whatever else had a threshold has none any more.

    Args:
        path: a file that `emit` wrote; it is replaced.
        x: (samples, *input shape) real inputs of the validation split, never of the test split.
        y: (samples,) labels.
        loss: how much lower the accuracy may be than that of the largest subnetwork alone, as a fraction. Thresholds
            are taken that lose no more with 95 % certainty, so fewer samples make higher thresholds.
        board: an emulated board that counts what it costs, such as "qemu:cortex-m4"; None counts multiply-accumulates.
        max_arena: bytes of arena that a subnetwork may need with what it keeps for others; one that needs more is
            not asked. None means no limit.

    Returns:
        The chosen subnetworks in the order in which they are asked.

    Raises:
        UsageError: if no two subnetworks of the file fit the arena, if `loss` is not from 0 to 1, if the samples do not
            fit, or if the board is unknown or does not count.
        DeviceError: if the board fails.
    """
    if not 0 <= loss <= 1:
        raise UsageError(f"`loss` must be from 0 to 1. Received: loss={loss}")
    if len(x) == 0 or len(x) != len(y):
        raise UsageError(f"`x` and `y` must hold as many samples, at least one. Received: {len(x)} and {len(y)}")
    file = read_model_file(Path(path))
    network = _without_thresholds(decode(file))
    keeping = encode(_with_thresholds(network, dict.fromkeys(range(1, len(network.exits)), NEVER), {}))
    runtime = Runtime(keeping)
    inputs = runtime.quantize(x)
    chain = chain_of(runtime, network, _candidates(path, runtime, network, max_arena), inputs[0])
    costs = macs_of_stops(network, chain) if board is None else _counted(keeping, board, chain, inputs[0])
    choice = cheapest_choice(_answers(runtime, network, chain, inputs, y), costs, loss)
    write_atomically(Path(path), encode(_asking(network, chain, choice), measurements_in(file.plan)))
    return _run(path, chain, choice.asked, x, y, costs, _largest(network, chain.subnetworks))


def run_cascade(
    path: Path | str,
    subnetworks: Sequence[int],
    x: NDArray[np.float32],
    y: NDArray[np.integer],
    board: str | None = None,
) -> Cascade:
    """Asks subnetworks in turn as a device does, until one is sure enough.

    Args:
        path: a file with thresholds for all but the last of these subnetworks.
        subnetworks: those to ask, in turn.
        x: (samples, *input shape) real inputs.
        y: (samples,) labels.
        board: an emulated board that counts what it costs; None counts multiply-accumulates.

    Raises:
        UsageError: if the board is unknown or does not count.
        DeviceError: if the board fails.
    """
    network = decode(read_model_file(Path(path)))
    runtime = Runtime(path)
    sample = runtime.quantize(x[:1])[0]
    alone = _largest(network, range(len(network.subnetworks)))
    chain = chain_of(runtime, network, list(dict.fromkeys([*subnetworks, alone])), sample)
    costs = macs_of_stops(network, chain) if board is None else count_stops(path, board, chain, sample)
    return _run(path, chain, range(len(subnetworks)), x, y, costs, alone)


def _run(
    path: Path | str,
    chain: Chain,
    asked: Sequence[int],
    x: NDArray[np.float32],
    y: NDArray[np.integer],
    costs: StopCosts,
    alone: int,
) -> Cascade:
    """Asks the subnetworks at some places of a chain."""
    along = costs.of(asked).along
    if along is None:
        names = [chain.subnetworks[place] for place in asked]
        raise UsageError(f"`subnetworks` must not go on from features of other widths. Received: {names}")
    runtime = Runtime(path)
    subnetworks = [chain.subnetworks[place] for place in asked]
    stopped, is_right, alone_is_right = [], [], []
    for sample, label in zip(runtime.quantize(x), y, strict=True):
        runtime.select(alone)
        alone_is_right.append(runtime.invoke(sample).argmax() == label)
        stopped.append(ask(runtime, subnetworks, sample))
        is_right.append(runtime.output.argmax() == label)
    shares = np.bincount(stopped, minlength=len(subnetworks)) / len(stopped)
    plan = read_model_file(Path(path)).plan
    exits = [plan.exits[plan.subnetworks[subnetwork].exit] for subnetwork in subnetworks]
    thresholds = [*(plan.subnetworks[one].threshold for one in subnetworks[:-1]), 0.0]
    again = [False, *(chain.steps[here][there] is Step.AGAIN for here, there in pairwise(asked))]
    return Cascade(
        tuple(
            Stop(subnetwork, text(exit_.name), float(threshold), float(share), cost, runs_again)
            for subnetwork, exit_, threshold, share, cost, runs_again in zip(
                subnetworks, exits, thresholds, shares, along, again, strict=True
            )
        ),
        float(np.mean(is_right)),
        alone,
        float(np.mean(alone_is_right)),
        costs.first[chain.subnetworks.index(alone)],
        costs.unit,
    )


def _without_thresholds(network: CompiledNetwork) -> CompiledNetwork:
    return _with_thresholds(network, {}, {})


def _with_thresholds(
    network: CompiledNetwork, of_exits: Mapping[int, float], of_subnetworks: Mapping[int, float]
) -> CompiledNetwork:
    """With these thresholds, and none at the others."""
    exits = tuple(replace(exit_, threshold=of_exits.get(index, 0.0)) for index, exit_ in enumerate(network.exits))
    subnetworks = tuple(
        replace(one, threshold=of_subnetworks.get(index, 0.0)) for index, one in enumerate(network.subnetworks)
    )
    return replace(network, exits=exits, subnetworks=subnetworks)


def _asking(network: CompiledNetwork, chain: Chain, choice: Choice) -> CompiledNetwork:
    """With the thresholds of a choice; exits behind which an inference goes on have one, too."""
    of_exits: dict[int, float] = {}
    of_subnetworks: dict[int, float] = {}
    for (here, there), threshold in zip(pairwise(choice.asked), choice.thresholds, strict=True):
        subnetwork = chain.subnetworks[here]
        of_subnetworks[subnetwork] = threshold
        if chain.steps[here][there] is Step.ON:
            exit_ = network.subnetworks[subnetwork].exit
            of_exits[exit_] = max(threshold, of_exits.get(exit_, 0.0))
    return _with_thresholds(network, of_exits, of_subnetworks)


def _counted(content: bytes, board: str, chain: Chain, sample: NDArray) -> StopCosts:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(content)
        return count_stops(path, board, chain, sample)


def _candidates(path: Path | str, runtime: Runtime, network: CompiledNetwork, max_arena: int | None) -> list[int]:
    """Subnetworks that may be asked, those first that compute the least of what others could use."""

    def trunk_macs(index: int) -> int:
        return sum(
            network.layers[step.layer].macs(step.input_channels, step.output_channels)
            for step in network.subnetworks[index].steps
            if network.layers[step.layer].subgraph == 0
        )

    fitting = [info.id for info in runtime.subnetworks if max_arena is None or info.arena_bytes <= max_arena]
    if len(fitting) < 2:
        within = "" if max_arena is None else f" within {max_arena} bytes of arena"
        raise UsageError(
            f"There must be two subnetworks at least to ask one behind the other. "
            f"Received: {len(fitting)} in '{path}'{within}."
        )
    return sorted(fitting, key=lambda index: (trunk_macs(index), network.macs(index)))


def _largest(network: CompiledNetwork, subnetworks: Sequence[int]) -> int:
    """The one with the most MACs, of those that leave at the network's own output if there are such."""
    return max(subnetworks, key=lambda index: (network.subnetworks[index].exit == 0, network.macs(index)))


def _answers(
    runtime: Runtime, network: CompiledNetwork, chain: Chain, inputs: NDArray, labels: NDArray[np.integer]
) -> Answers:
    confidences, is_right = [], []
    for subnetwork in chain.subnetworks:
        runtime.select(subnetwork)
        scores = runtime.invoke(inputs).reshape(len(inputs), -1)
        confidences.append([_confidence(runtime, one) for one in scores])
        is_right.append(scores.argmax(axis=1) == labels)
    alone = chain.subnetworks.index(_largest(network, chain.subnetworks))
    return Answers(np.array(confidences), np.array(is_right), alone)


def _confidence(runtime: Runtime, scores: NDArray) -> float:
    """The largest score, rounded down to a float32, so that the score itself reaches it as a threshold."""
    quantization = runtime.output_quantization
    if quantization is None:
        return float(scores.max())
    exact = float(quantization.scale) * (int(scores.max()) - quantization.zero_point)
    single = np.float32(exact)
    return float(single if float(single) <= exact else np.nextafter(single, np.float32(-np.inf)))


def cheapest_choice(answers: Answers, costs: StopCosts, loss: float) -> Choice:
    """The cheapest one found; asking the subnetwork alone with which others are compared always loses nothing."""
    places = range(len(answers.is_right))
    extended = _cheapest(answers, costs, loss, [(place,) for place in places])
    found = list(extended)
    for _ in range(MOST_ASKED - 1):
        longer = {tuple(sorted({*choice.asked, place})) for choice in extended for place in places}
        extended = _cheapest(answers, costs, loss, sorted(longer - {choice.asked for choice in extended}))
        found += extended
    return min(found, key=lambda choice: choice.mean_cost)


def _cheapest(answers: Answers, costs: StopCosts, loss: float, all_asked: Iterable[tuple[int, ...]]) -> list[Choice]:
    """Of the choices that can be made and lose no more than is allowed."""
    found = []
    for asked in all_asked:
        along = costs.of(asked).along
        thresholds = None if along is None else _lowered(answers, asked, loss)
        if thresholds is not None:
            mean = float(np.array(along)[answers.stopping(asked, thresholds)].mean())
            found.append(Choice(asked, thresholds, mean))
    return sorted(found, key=lambda choice: choice.mean_cost)[:MOST_EXTENDED]


def _lowered(answers: Answers, asked: Sequence[int], loss: float) -> tuple[float, ...] | None:
    """Thresholds that lose no more than is allowed: lowered together first, then one by one.

    None if the last subnetwork alone loses more.
    """
    if answers.likely_loss(asked[-1:], ()) > loss:
        return None
    if len(asked) == 1:
        return ()
    levels = answers.levels(asked[:-1])
    thresholds = [levels[0]] * (len(asked) - 1)
    for level in levels:
        if answers.likely_loss(asked, [level] * len(thresholds)) > loss:
            break
        thresholds = [level] * len(thresholds)
    for place in range(len(thresholds)):
        for level in answers.levels(asked[place : place + 1]):
            lower = [*thresholds[:place], min(level, thresholds[place]), *thresholds[place + 1 :]]
            if answers.likely_loss(asked, lower) > loss:
                break
            thresholds = lower
    return tuple(thresholds)
