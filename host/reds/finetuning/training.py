"""Training epoch by epoch, resumable after each."""

import hashlib
import io
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from reds.files import write_atomically
from reds.finetuning.model import BranchesModel
from reds.replicas import Spread, current_spread

Decay = Literal["cosine", "steps"]

FINAL_LEARNING_RATE = 0.01
"""Share of the learning rate that is left at the end of its decay."""

STEPS = ((0.5, 0.1), (0.75, FINAL_LEARNING_RATE))
"""Decay in steps: after this part of the training, this share of the learning rate."""


class Split(Protocol):
    """The part of a data set's split that training uses."""

    @property
    def labels(self) -> NDArray[np.integer]:
        """Class of each sample."""

    def batches(self, batch_size: int, seed: int, augment: bool, epoch: int) -> keras.utils.PyDataset:
        """Shuffled batches (x, y) that depend on nothing but the arguments."""


class Dataset(Protocol):
    """The part of a data set that training uses."""

    @property
    def name(self) -> str:
        """What the data are called."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Name of each class."""

    @property
    def train(self) -> Split:
        """Samples to train with."""

    @property
    def validation(self) -> Split:
        """Samples to watch the training with."""


@dataclass(frozen=True)
class EpochReport:
    """What one epoch of training gave; epoch 0 is the state before training."""

    phase: str
    """What is trained: "subnetworks" or "exits"."""
    epoch: int
    epochs: int
    loss: float
    validation_accuracy: Mapping[str, float]
    """Per subnetwork, in [0, 1], with moving statistics; the final ones are measured after training."""
    seconds: float


Progress = Callable[[EpochReport], None]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train."""

    epochs: int
    learning_rate: float
    batch_size: int
    seed: int
    decay: Decay = "cosine"
    factors: Mapping[str, float] = field(default_factory=dict)
    """Per node that learns faster or slower, by what its learning rate is multiplied."""
    guard: float | None = None
    """How much less accurate the first branch may become on the validation split; anything where None."""


@dataclass(frozen=True)
class Checkpoint:
    """Where the state after each epoch is kept. A state that other inputs led to is ignored and replaced."""

    path: Path
    fingerprint: str
    """Identifies everything that the result depends on."""


def fingerprint(*parts: object) -> str:
    """Digest of values with a complete `repr` and of arrays."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    return digest.hexdigest()


def train(
    model: BranchesModel,
    dataset: Dataset,
    schedule: Schedule,
    phase: str,
    begin: Callable[[int], Sequence[Sequence[int]]],
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
    settle: Callable[[], None] = lambda: None,
) -> None:
    """Trains a model in place.

    Args:
        model: the branches to train.
        dataset: trains on its (augmented) train split, reports the accuracy on its validation split.
        schedule: how long and how fast.
        phase: name of this training in the reports.
        begin: called before each epoch (from 0); gives the branches that train in each part of it.
        checkpoint: where to keep the state after each epoch and to resume from.
        progress: called with the state before training, and after each epoch.
        settle: called after the steps of each epoch, before its accuracies are measured.
    """
    steps = len(_batches(dataset.train, schedule, augment=True))
    compile_model(model, schedule, steps)
    watch = _Watch(schedule.guard)
    done = _restore(model, checkpoint, watch)
    report = progress or _ignore
    if done == 0:
        started = time.perf_counter()
        model.activate(begin(0)[0])
        loss, accuracy = _validate(model, dataset, schedule)
        report(EpochReport(phase, 0, schedule.epochs, loss, accuracy, time.perf_counter() - started))
        watch.begin(model, accuracy)
    for epoch in range(done, schedule.epochs):
        started = time.perf_counter()
        loss = _fit(model, _batches(dataset.train, schedule, augment=True, epoch=epoch), begin(epoch))
        settle()
        _, accuracy = _validate(model, dataset, schedule)
        # The report comes first: an epoch that is saved is never trained, and so reported, again.
        report(EpochReport(phase, epoch + 1, schedule.epochs, loss, accuracy, time.perf_counter() - started))
        watch.follow(model, accuracy)
        _save(model, checkpoint, epoch + 1, watch)
    watch.settle(model)


def _fit(model: BranchesModel, batches: keras.utils.PyDataset, turns: Sequence[Sequence[int]]) -> float:
    """Trains for an epoch, in each part of it other branches; gives the mean loss."""
    bounds = [len(batches) * turn // len(turns) for turn in range(len(turns) + 1)]
    loss = 0.0
    with warnings.catch_warnings():
        # Heads of exits that do not train have no gradients.
        warnings.filterwarnings("ignore", "Gradients do not exist for variables")
        for branches, first, end in zip(turns, bounds, bounds[1:], strict=False):
            if end > first:
                model.activate(branches)
                history = model.fit(PartOfEpoch(batches, first, end), shuffle=False, verbose=0).history
                loss += history["loss"][-1] * (end - first) / len(batches)
    return loss


class _Watch:
    """Remembers the weights after the last epoch that kept the accuracy of the first branch.

    Args:
        guard: how much less accurate than before it may become; nothing is remembered where None.
    """

    def __init__(self, guard: float | None) -> None:
        self._guard = guard
        self._least = 0.0
        self._kept: list[Any] = []
        self._holds = True

    def begin(self, model: BranchesModel, accuracy: Mapping[str, float]) -> None:
        """Takes the accuracies before training."""
        if self._guard is not None:
            self._least = next(iter(accuracy.values())) - self._guard
            self.follow(model, accuracy)

    def follow(self, model: BranchesModel, accuracy: Mapping[str, float]) -> None:
        """Takes the accuracies after an epoch."""
        if self._guard is None:
            return
        self._holds = next(iter(accuracy.values())) >= self._least
        if self._holds:
            self._kept = [ops.convert_to_numpy(variable).copy() for variable in model.weights]

    def settle(self, model: BranchesModel) -> None:
        """Goes back to the remembered weights where the last epoch lost too much."""
        if not self._holds:
            for variable, value in zip(model.weights, self._kept, strict=True):
                variable.assign(value)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        if self._guard is None:
            return {}
        kept = {f"kept_{index}": value for index, value in enumerate(self._kept)}
        return {"least": self._least, "holds": self._holds, **kept}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Takes what `state` gave."""
        if self._guard is not None:
            self._least, self._holds = float(saved["least"]), bool(saved["holds"])
            count = sum(name.startswith("kept_") for name in saved)
            self._kept = [saved[f"kept_{index}"] for index in range(count)]


def _validate(model: BranchesModel, dataset: Dataset, schedule: Schedule) -> tuple[float, dict[str, float]]:
    """The loss and each branch's accuracy on the validation split."""
    results = model.evaluate(_batches(dataset.validation, schedule, augment=False), verbose=0, return_dict=True)
    return results["loss"], model.accuracy_by_name(results)


def _ignore(report: EpochReport) -> None:
    """Shows nobody the progress."""


def _batches(split: Split, schedule: Schedule, augment: bool, epoch: int = 0) -> keras.utils.PyDataset:
    batches = split.batches(schedule.batch_size, seed=schedule.seed, augment=augment, epoch=epoch)
    spread = current_spread()
    if spread.devices == 1:
        return batches
    return EqualShares(batches, len(split.labels) % schedule.batch_size, spread)


class PartOfEpoch(keras.utils.PyDataset):
    """Batches from one up to another.

    Args:
        batches: those of the whole epoch.
        first: index of the first.
        end: index behind the last.
    """

    def __init__(self, batches: keras.utils.PyDataset, first: int, end: int) -> None:
        super().__init__()
        self._batches = batches
        self._first = first
        self._count = end - first

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
        return self._batches[self._first + index]


class EqualShares(keras.utils.PyDataset):
    """This process' part of batches that all devices have equal shares of.

    A batch whose size is no multiple of the number of devices loses its last samples.

    Args:
        batches: whole batches.
        last: size of the last one where it is smaller than the others, else 0.
        spread: the devices.
    """

    def __init__(self, batches: keras.utils.PyDataset, last: int, spread: Spread) -> None:
        super().__init__()
        self._batches = batches
        self._count = len(batches) - (0 < last < spread.devices)
        self._spread = spread

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
        x, y = self._batches[index]
        of_process = len(y) // self._spread.devices * self._spread.devices // self._spread.processes
        part = slice(self._spread.process * of_process, (self._spread.process + 1) * of_process)
        return x[part], y[part]


def compile_model(model: BranchesModel, schedule: Schedule, steps: int) -> None:
    """Makes a model ready to train by a schedule, of whose epochs each has `steps` batches."""
    # XLA makes small depthwise networks on a CPU ten times slower under TensorFlow; JAX is nothing without it.
    jit: Any = False if keras.backend.backend() == "tensorflow" else "auto"
    rate = learning_rate(schedule, steps)
    factors = model.factors(schedule.factors)
    plain = all(factor == 1 for factor in factors)
    optimizer = keras.optimizers.Adam(rate) if plain else AdamOfRates(rate, factors)
    model.compile(optimizer=optimizer, jit_compile=jit)
    model.optimizer.build(model.trainable_variables)


class AdamOfRates(keras.optimizers.Adam):
    """Adam with a learning rate for each variable.

    Args:
        learning_rate: what the factors are of.
        factors: one per variable.
    """

    def __init__(
        self, learning_rate: keras.optimizers.schedules.LearningRateSchedule, factors: Sequence[float]
    ) -> None:
        super().__init__(learning_rate)
        self._factors = tuple(factors)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Moves one variable."""
        factor = self._factors[self._get_variable_index(variable)]
        super().update_step(gradient, variable, factor * ops.cast(learning_rate, "float32"))


def learning_rate(schedule: Schedule, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate by step; an epoch has `steps` of them."""
    start, total = schedule.learning_rate, max(1, schedule.epochs * steps)
    if schedule.decay == "cosine":
        return keras.optimizers.schedules.CosineDecay(start, total, alpha=FINAL_LEARNING_RATE)
    boundaries = [round(part * total) - 1 for part, _ in STEPS]
    return keras.optimizers.schedules.PiecewiseConstantDecay(
        boundaries, [start, *(share * start for _, share in STEPS)]
    )


def _state(model: BranchesModel) -> list[Any]:
    return [*model.weights, *model.optimizer.variables]


def _save(model: BranchesModel, checkpoint: Checkpoint | None, epoch: int, watch: _Watch) -> None:
    if checkpoint is None:
        return
    arrays: dict[str, Any] = {
        f"variable_{index}": ops.convert_to_numpy(value) for index, value in enumerate(_state(model))
    }
    arrays |= watch.state()
    stream = io.BytesIO()
    np.savez(stream, fingerprint=checkpoint.fingerprint, epoch=epoch, **arrays)
    write_atomically(checkpoint.path, stream.getvalue())


def _restore(model: BranchesModel, checkpoint: Checkpoint | None, watch: _Watch) -> int:
    """Sets the state of the checkpoint and returns how many epochs it has behind it."""
    if checkpoint is None or not checkpoint.path.is_file():
        return 0
    with np.load(checkpoint.path) as saved:
        if str(saved["fingerprint"]) != checkpoint.fingerprint:
            return 0
        for index, variable in enumerate(_state(model)):
            variable.assign(saved[f"variable_{index}"])
        watch.restore(saved)
        return int(saved["epoch"])
