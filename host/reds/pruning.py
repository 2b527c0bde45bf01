"""From a trained Keras model and data to one file with subnetworks. Each stage is saved, so a run can be resumed."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reds import cost, finetuning
from reds.compiled import emitted_type
from reds.datasets import Data, Dataset, as_dataset
from reds.emitting import emit
from reds.errors import UsageError
from reds.exits import attach_exits, promising_taps
from reds.files import save_array, write_atomically
from reds.finetuning import EpochReport, Loss, finetune, quantize_aware
from reds.finetuning.model import BatchNormMode, Precision
from reds.finetuning.pipeline import ExitTraining
from reds.finetuning.training import Decay
from reds.graph import Exit, Family, Graph, Ranked, Subnetwork, Supernet
from reds.heads import HeadKind
from reds.measuring import measure_accuracy
from reds.ranking import Method, rank
from reds.run_folder import (
    CALIBRATION_FILE,
    CANDIDATES_FILE,
    CANDIDATES_FOLDER,
    CANDIDATES_SUPERNET_FILE,
    CANDIDATES_TABLE_FILE,
    CONTENDERS_FILE,
    EPOCHS_FILE,
    FAMILY_FILE,
    MODEL_FILE,
    RANKED_FILE,
    SETTINGS_FILE,
    SUPERNET_FILE,
)
from reds.solving import choose, solve, solve_with_exits
from reds.solving.depth import Candidate, contenders, with_subnetworks
from reds.solving.emitted import verify_limits
from reds.solving.family import Order
from reds.solving.formulation import Objective
from reds.stages import claimed, stage
from reds.store import load
from reds.tracing import trace

if TYPE_CHECKING:
    import keras

QUANTIZATION_AWARE_LEARNING_RATE = 0.1
"""Share of the learning rate of fine-tuning."""

CALIBRATION_SAMPLES = 240
"""Samples, balanced over the classes, that activation ranges are measured on."""


@dataclass(frozen=True)
class PruneSettings:
    """What a pruned family depends on beside the model and the data."""

    budgets: tuple[float, ...] = (0.25, 0.5, 0.75)
    metric: str = "macs"
    max_arena: int | None = None
    """Bytes of arena that every subnetwork but the full network may need."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """By metric, what every subnetwork but the full network may cost besides its budget."""
    minimum: float = 1
    """Smallest width as a number of channels, or below 1 as a fraction of the layer's."""
    kernels: bool = False
    """Whether pointwise convolutions are valued by the kernels they keep."""
    exits: tuple[str, ...] = ()
    """Layers to tap; ("auto",) lets the program choose."""
    head: HeadKind = "auxiliary"
    """What is put behind the taps."""
    joint: bool = False
    """Whether each budget may be met by any exit and any widths, of which the most accurate are kept."""
    skip_blocks: tuple[str, ...] = ()
    """Residual blocks, by the names of their sums, that a budget may be met without; ("auto",) stands for all that can
    be skipped. They, and exits with them, are searched as exits are where `joint` is set."""
    keep_all: bool = False
    """Whether all that a search among exits or blocks found is kept."""
    exit_training: ExitTraining | None = None
    """How exits are trained; with the network where they are searched jointly, else behind the frozen one."""
    guard: float | None = None
    """How much less accurate the full network may become while it is trained with its subnetworks, in [0, 1]."""
    multiple: int = 4
    """Widths are multiples of it; four suits the word loads of a Cortex-M4."""
    objective: Objective = "product"
    order: Order = "bottom_up"
    importance: Method = "taylor"
    epochs: int = 20
    exit_epochs: int | None = None
    learning_rate: float = 5e-3
    loss: Loss = "distillation"
    batch_norm: BatchNormMode = "own"
    decay: Decay = "cosine"
    precision: Precision = "float32"
    quantization_aware: int = 0
    """Epochs of training with the rounding of int8, after fine-tuning."""
    type: str = "int8"
    seed: int = 0

    @property
    def compares_candidates(self) -> bool:
        """Whether several networks may meet a budget, of which the most accurate is kept."""
        return self.joint or bool(self.skip_blocks)


@dataclass(frozen=True)
class PrunedRun:
    """What a run folder holds when it is done."""

    folder: Path
    model: Path
    family: Family
    supernet: Supernet
    accuracy: tuple[float, ...]
    """Per subnetwork on the test split, by libreds."""


def prune(
    model: "keras.Model",
    dataset: Data,
    folder: Path,
    settings: PruneSettings | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> PrunedRun:
    """Runs all stages from trace to emit, or what a run that was interrupted left to do.

    Args:
        model: a trained Keras model.
        dataset: data that fits it. Or a pair of arrays (x, y), a `keras.utils.PyDataset` or a `tf.data.Dataset`: see
            `reds.datasets.from_arrays` for what is kept apart for validation and test.
        folder: the run folder.
        settings: what to make; the defaults give 25, 50 and 75 % of the multiply-accumulates in int8.
        progress: called with a line for people.

    Returns:
        The family, and the emitted file with the accuracies that libreds measured.

    Raises:
        UsageError: if the model, the data or the settings are not supported, or the folder holds another run.
    """
    settings = settings or PruneSettings()
    if settings.quantization_aware and settings.type != "int8":
        raise UsageError(
            "`quantization_aware` trains for int8 and does nothing for another type. "
            f"Received: quantization_aware={settings.quantization_aware}, type={settings.type}"
        )
    graph = trace(model)
    dataset = as_dataset(dataset, graph.input_shape, graph.output_shape[-1])
    if graph.output_shape != (len(dataset.classes),):
        raise UsageError(
            f"'{graph.name}' has an output of shape {graph.output_shape}, but {dataset.name} has "
            f"{len(dataset.classes)} classes: the network needs one score per class."
        )
    dataset = dataset.with_input_shape(graph.input_shape)
    identity = _Identity(settings, _hash_of_weights(model), dataset.name, hash_of_labels(dataset))
    with claimed(folder, asdict(identity), "Name another folder with --out, or remove this one."):
        ranked = stage(folder / RANKED_FILE, Ranked, lambda: rank_channels(graph, dataset, settings, progress))
        found = searched(ranked, folder, settings, progress)
    family = settled(found, dataset, folder, settings, progress)
    return complete(family, dataset, folder, settings, progress)


def searched(ranked: Ranked, folder: Path, settings: PruneSettings, progress: Callable[[str], None]) -> Family:
    """What `search_family` finds, kept in a folder: the family, or the candidates that it is chosen from."""
    path = folder / (CANDIDATES_FILE if settings.compares_candidates else FAMILY_FILE)
    return stage(path, Family, lambda: search_family(ranked, settings, progress))


def settled(
    found: Family, dataset: Dataset, folder: Path, settings: PruneSettings, progress: Callable[[str], None]
) -> Family:
    """The family of what was found: all of it, or where candidates compete the most accurate of each budget.

    Candidates are trained for that. The family and its trained form are kept in the folder, so `complete` trains it no
    more.
    """
    if not settings.compares_candidates:
        return found
    return _keep_the_best(found, dataset, folder, settings, progress)


def _keep_the_best(
    candidates: Family, dataset: Dataset, folder: Path, settings: PruneSettings, progress: Callable[[str], None]
) -> Family:
    """Trains candidates and keeps the most accurate of each budget: the family, and its trained form."""
    first_training = settings if settings.keep_all else replace(settings, quantization_aware=0)
    trained = stage(
        folder / CANDIDATES_SUPERNET_FILE,
        Supernet,
        lambda: _finetune(candidates, dataset, folder / CANDIDATES_FOLDER, first_training, progress),
    )
    path = folder / CANDIDATES_TABLE_FILE
    if not path.exists():
        table = _measured_candidates(trained, dataset, folder, settings, progress)
        write_atomically(path, (json.dumps([asdict(one) for one in table], indent=2) + "\n").encode())
    measured = [Candidate(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    for one in measured:
        kept = "kept" if one.kept or settings.keep_all else "left out"
        progress(f"{one.name}: {one.cost} {settings.metric}, validation {one.accuracy:.1%}, {kept}")
    if settings.keep_all:
        left, last = list(range(len(measured))), trained
    else:
        left = [place for place, one in enumerate(one for one in measured if one.contends) if one.kept]
        last = load(folder / CONTENDERS_FILE, Supernet)
    supernet = stage(folder / SUPERNET_FILE, Supernet, lambda: with_subnetworks(last, left))
    return stage(folder / FAMILY_FILE, Family, lambda: supernet.family)


def _measured_candidates(
    trained: Supernet, dataset: Dataset, folder: Path, settings: PruneSettings, progress: Callable[[str], None]
) -> tuple[Candidate, ...]:
    """Trains those on that contend for a place, and says of all how accurate they are and which are kept."""
    element_bytes = emitted_type(settings.type).dtype.itemsize
    accuracies = _validation_accuracies(trained, dataset)
    first = choose(trained.family, accuracies, element_bytes)
    if settings.keep_all:
        return first
    contending = contenders(trained.family, accuracies, element_bytes)
    progress(f"training on {len(contending)} of {len(first)} candidates")
    again = replace(settings, exit_epochs=0)
    last = stage(
        folder / CONTENDERS_FILE,
        Supernet,
        lambda: _finetune(with_subnetworks(trained, contending).family, dataset, folder, again, progress),
    )
    settled = iter(choose(last.family, _validation_accuracies(last, dataset), element_bytes))
    return tuple(
        next(settled) if index in contending else replace(one, kept=False, contends=False)
        for index, one in enumerate(first)
    )


def _validation_accuracies(supernet: Supernet, dataset: Dataset) -> list[float]:
    x, y = dataset.validation.features()
    return [finetuning.accuracy(supernet, index, x, y) for index in range(len(supernet.family.subnetworks))]


def complete(
    family: Family, dataset: Dataset, folder: Path, settings: PruneSettings, progress: Callable[[str], None]
) -> PrunedRun:
    """Runs the stages from fine-tuning on, or what an interruption left of them to do.

    Args:
        family: the subnetworks to train.
        dataset: data in the network's input shape.
        folder: where the stages and the file are kept.
        settings: how to train and what to emit; the search's settings are not read.
        progress: called with a line for people.

    Returns:
        The emitted file with the accuracies that libreds measured.
    """
    supernet = stage(folder / SUPERNET_FILE, Supernet, lambda: _finetune(family, dataset, folder, settings, progress))
    calibration = calibration_samples(dataset, settings.seed)
    save_array(folder / CALIBRATION_FILE, calibration)
    path = emit(supernet, folder / MODEL_FILE, settings.type, calibration)
    verify_limits(path, family)
    progress(f"emitted {path}; measuring every subnetwork with libreds on {len(dataset.test)} test samples")
    accuracy = measure_accuracy(path, *dataset.test.features())
    return PrunedRun(folder, path, family, supernet, accuracy)


def calibration_samples(dataset: Dataset, seed: int = 0) -> NDArray[np.float32]:
    """Training samples to measure ranges on, as many of each class.

    Args:
        dataset: where to take them from.
        seed: of the choice.

    Returns:
        (samples, *input shape) float32.
    """
    labels = dataset.train.labels
    generator = np.random.default_rng(seed)
    each = max(1, CALIBRATION_SAMPLES // len(dataset.classes))
    of_classes = (np.flatnonzero(labels == label) for label in range(len(dataset.classes)))
    chosen = [generator.permutation(members)[:each] for members in of_classes]
    x, _ = dataset.train.take(np.sort(np.concatenate(chosen))).features()
    return x


@dataclass(frozen=True)
class _Identity:
    """All that a run's result depends on."""

    settings: PruneSettings
    model: str
    data: str
    labels: str


def _hash_of_weights(model: "keras.Model") -> str:
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def read_identity(folder: Path) -> dict[str, Any]:
    """What the run in a folder depends on, as `prune` recorded it: `settings`, `model`, `data` and `labels`.

    Raises:
        UsageError: if the folder holds no run of `prune`, or the record is damaged.
    """
    path = folder / SETTINGS_FILE
    if not path.is_file():
        raise UsageError(f"'{folder}' holds no run: it has no {SETTINGS_FILE}. Make one with `reds prune`.")
    try:
        identity = json.loads(path.read_text(encoding="utf-8"))
        return {field.name: identity[field.name] for field in fields(_Identity)}
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"Cannot read '{path}': it is damaged or from another release; remove it.") from error


def hash_of_labels(dataset: Dataset) -> str:
    """Identifies a data set by its classes and the labels of its splits."""
    digest = hashlib.sha256(repr(dataset.classes).encode())
    for split in (dataset.train, dataset.validation, dataset.test):
        digest.update(np.ascontiguousarray(split.labels).tobytes())
    return digest.hexdigest()


def rank_channels(graph: Graph, dataset: Dataset, settings: PruneSettings, progress: Callable[[str], None]) -> Ranked:
    """The first stage of `prune`: the channels in their order of importance."""
    progress(
        f"traced {graph.name}: {len(graph.nodes)} operations, {len(graph.groups)} channel groups; "
        f"ranking channels by {settings.importance} importance"
    )
    batches = dataset.train.batches(seed=settings.seed, augment=False, epoch=0)
    return rank(graph, batches, method=settings.importance, seed=settings.seed, kernels=settings.kernels)


def search_family(ranked: Ranked, settings: PruneSettings, progress: Callable[[str], None]) -> Family:
    """The second stage of `prune`: the subnetworks, and the exits with untrained heads.

    Raises:
        UsageError: if the settings cannot be met.
    """
    search: dict[str, Any] = {
        "budgets": settings.budgets,
        "metric": settings.metric,
        "objective": settings.objective,
        "max_arena": settings.max_arena,
        "limits": settings.limits,
        "minimum": settings.minimum,
        "kernels": settings.kernels,
        "multiple": settings.multiple,
        "order": settings.order,
        "element_bytes": emitted_type(settings.type).dtype.itemsize,
        "seed": settings.seed,
        "progress": progress,
    }
    if settings.compares_candidates:
        offered = _with_exits_to_search(ranked, settings)
        return solve_with_exits(offered, skip_blocks=settings.skip_blocks, **search)
    family = solve(ranked, **search)
    if not settings.exits:
        return family
    taps = "auto" if settings.exits == ("auto",) else settings.exits
    exits = attach_exits(ranked, taps, settings.seed, settings.head).exits
    _warn_of_costly_exits(family, exits, progress)
    shallow = tuple(
        Subnetwork(exit.name, family.subnetworks[0].widths, exit=index) for index, exit in enumerate(exits, start=1)
    )
    return replace(family, exits=exits, subnetworks=family.subnetworks + shallow)


def _with_exits_to_search(ranked: Ranked, settings: PruneSettings) -> Ranked:
    if not settings.exits and settings.skip_blocks:
        return ranked
    if not settings.exits:
        raise UsageError("`joint` searches among exits: name layers in `exits`, or say 'auto'. Received: exits=()")
    taps = settings.exits
    if taps == ("auto",):
        taps = promising_taps(ranked.graph, settings.head)
    return attach_exits(ranked, taps, settings.seed, settings.head)


def _warn_of_costly_exits(family: Family, exits: Sequence[Exit], progress: Callable[[str], None]) -> None:
    """A head has the same layers wherever it sits, so on a small network it can cost more than it saves."""
    widths = family.subnetworks[0].widths
    full = cost.macs(family.graph, widths)
    for exit in exits:
        shallow = cost.macs(family.graph, widths, leave=exit)
        if shallow >= full:
            progress(f"{exit.name} costs {shallow} multiply-accumulates, the full network {full}: tap an earlier layer")


def _finetune(
    family: Family, dataset: Dataset, folder: Path, settings: PruneSettings, progress: Callable[[str], None]
) -> Supernet:
    progress(f"fine-tuning {len(family.subnetworks)} subnetworks for {settings.epochs} epochs")
    record = epoch_recorder(folder, progress)
    supernet = finetune(
        family,
        dataset,
        epochs=settings.epochs,
        exit_epochs=settings.exit_epochs,
        learning_rate=settings.learning_rate,
        loss=settings.loss,
        batch_norm=settings.batch_norm,
        decay=settings.decay,
        precision=settings.precision,
        exit_training=settings.exit_training or ("joint" if settings.compares_candidates else "frozen"),
        guard=settings.guard,
        seed=settings.seed,
        run_dir=folder,
        progress=record,
    )
    if settings.quantization_aware == 0:
        return supernet
    progress(f"training with the rounding of int8 for {settings.quantization_aware} epochs")
    return quantize_aware(
        supernet,
        dataset,
        calibration_samples(dataset, settings.seed),
        epochs=settings.quantization_aware,
        learning_rate=QUANTIZATION_AWARE_LEARNING_RATE * settings.learning_rate,
        seed=settings.seed,
        run_dir=folder,
        progress=record,
    )


def epoch_recorder(folder: Path, progress: Callable[[str], None]) -> Callable[[EpochReport], None]:
    """What listens to a training: keeps its epochs in the folder's history and tells people of them."""

    def record(report: EpochReport) -> None:
        _record(folder / EPOCHS_FILE, report)
        progress(epoch_line(report))

    return record


def _record(path: Path, report: EpochReport) -> None:
    """Adds an epoch to the run's history; of a phase that is trained again, the new epochs replace the old."""
    history = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    kept = [one for one in history if one["phase"] != report.phase or one["epoch"] < report.epoch]
    write_atomically(path, (json.dumps([*kept, asdict(report)], indent=2) + "\n").encode())


def epoch_line(report: EpochReport) -> str:
    """One epoch of fine-tuning for people."""
    accuracies = "  ".join(f"{name} {value:.1%}" for name, value in report.validation_accuracy.items())
    return f"{report.phase} epoch {report.epoch}/{report.epochs}  validation {accuracies}"
