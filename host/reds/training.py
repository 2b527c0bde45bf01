"""Training of a baseline network: seeded, and resumable after every epoch with the result of an unbroken run."""

import hashlib
import json
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from reds.datasets import Data, Dataset, Split, as_dataset
from reds.errors import UsageError
from reds.run_folder import BASELINE_CHECKPOINT_FILE, BASELINE_FILE

DEFAULT_LEARNING_RATE = 6e-3
EVALUATION_BATCH = 500


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training samples gave."""

    number: int
    """Counted from 1."""
    loss: float
    accuracy: float
    validation_loss: float
    validation_accuracy: float


@dataclass(frozen=True)
class History:
    """What a training gave, epoch by epoch."""

    epochs: tuple[Epoch, ...]


def train(
    model: keras.Model,
    dataset: Data,
    epochs: int,
    seed: int = 0,
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = DEFAULT_LEARNING_RATE,
    batch_size: int = 100,
    run_dir: str | os.PathLike[str] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> History:
    """Trains a classifier with Adam and augmented samples. The last epoch's weights stay in the model.

    Args:
        model: Keras model with one input and one output: probabilities if it ends in a softmax, else logits.
        dataset: Data for it; brought to the model's input shape where it has such a form. Or a pair of arrays (x, y),
            a `keras.utils.PyDataset` or a `tf.data.Dataset`: see `reds.datasets.from_arrays` for what is kept apart.
        epochs: Passes over the training samples.
        seed: Seed of the order, the augmentation and dropout.
        learning_rate: Peak of a half cosine that falls to zero over the whole training, or any Keras schedule,
            for example `PiecewiseConstantDecay` for steps.
        batch_size: Samples in a batch.
        run_dir: Folder for a checkpoint after each epoch and for `model.keras` at the end. A training that was
            interrupted continues from its checkpoint when it is started again with the same arguments.
        on_epoch: Called after every epoch that is trained, not for those that were restored.

    Returns:
        Loss and accuracy of every epoch, on the augmented training samples and on the validation split.

    Raises:
        UsageError: An argument is out of range, data and model do not fit, or the folder holds another training.

    The test split is never looked at. Repeating a training gives the same weights wherever the backend's operations
    are deterministic, as TensorFlow's and JAX's are on a CPU.
    """
    _require_positive(epochs=epochs, batch_size=batch_size)
    dataset = _fitting(model, dataset)
    steps_per_epoch = len(dataset.train.batches(batch_size))
    _compile(model, learning_rate, steps=epochs * steps_per_epoch)
    checkpoint = None if run_dir is None else _Checkpoint(Path(run_dir) / BASELINE_CHECKPOINT_FILE)
    done: list[Epoch] = []
    if checkpoint is not None:
        identity = _identity(model, dataset, epochs, seed, batch_size)
        done = checkpoint.restore(model, identity)
    with _statistics_of_this_epoch(model, steps_per_epoch), _progress(epochs, len(done)) as advance:
        for number in range(len(done), epochs):
            done.append(_train_epoch(model, dataset, number, seed, batch_size))
            if checkpoint is not None:
                checkpoint.save(model, identity, done)
            advance(done[-1])
            if on_epoch is not None:
                on_epoch(done[-1])
    if run_dir is not None:
        save_model(model, Path(run_dir) / BASELINE_FILE)
    return History(tuple(done))


def accuracy(model: keras.Model, split: Split) -> float:
    """Share of a split's samples, as they are, that a model puts into the right class."""
    x, y = split.with_input_shape(model.input_shape[1:]).features()
    scores = model.predict(x, batch_size=EVALUATION_BATCH, verbose=0)
    return float(np.mean(np.argmax(scores, axis=-1) == y))


def save_model(model: keras.Model, path: Path) -> None:
    """Saves a model in Keras' format; the file is whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    model.save(partial)
    os.replace(partial, path)


def trained_epochs(folder: Path) -> int | None:
    """How many epochs the training in a run folder has behind it, or None where the folder holds none.

    Raises:
        UsageError: The training's checkpoint is damaged.
    """
    checkpoint = _Checkpoint(folder / BASELINE_CHECKPOINT_FILE)
    return len(checkpoint.read().epochs) if checkpoint.exists else None


def _require_positive(**arguments: int) -> None:
    for name, value in arguments.items():
        if value < 1:
            raise UsageError(f"{name} must be at least 1, but it is {value}.")


def _fitting(model: keras.Model, data: Data) -> Dataset:
    """The data in the model's input shape, after a look at its outputs."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise UsageError(
            f"Only models with one input and one output can be trained, but '{model.name}' has "
            f"{len(model.inputs)} and {len(model.outputs)}."
        )
    dataset = as_dataset(data, model.input_shape[1:], model.output_shape[-1])
    if model.output_shape != (None, len(dataset.classes)):
        raise UsageError(
            f"'{model.name}' gives outputs of shape {model.output_shape[1:]}, but {dataset.name} has "
            f"{len(dataset.classes)} classes: the last dense layer needs one unit for each class."
        )
    return dataset.with_input_shape(model.input_shape[1:])


def _compile(
    model: keras.Model, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule, steps: int
) -> None:
    if not isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        learning_rate = keras.optimizers.schedules.CosineDecay(learning_rate, decay_steps=steps)
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate, name="adam"),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=not _ends_in_softmax(model)),
        metrics=["accuracy"],
        # XLA makes small convolutions three times slower on a CPU; JAX knows nothing else.
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )
    model.optimizer.build(model.trainable_variables)


def _ends_in_softmax(model: keras.Model) -> bool:
    last = model.layers[-1]
    return isinstance(last, keras.layers.Softmax) or getattr(last, "activation", None) is keras.activations.softmax


def _train_epoch(model: keras.Model, dataset: Dataset, number: int, seed: int, batch_size: int) -> Epoch:
    """One pass; all chance in it depends on the seed and the epoch's number alone."""
    _reseed_layers(model, seed, number)
    fitted = model.fit(
        dataset.train.batches(batch_size, seed, augment=True, epoch=number),
        validation_data=dataset.validation.features(),
        validation_batch_size=EVALUATION_BATCH,
        initial_epoch=number,
        epochs=number + 1,
        shuffle=False,
        verbose=0,
    )
    last = {name: float(values[-1]) for name, values in fitted.history.items()}
    return Epoch(number + 1, last["loss"], last["accuracy"], last["val_loss"], last["val_accuracy"])


@contextmanager
def _statistics_of_this_epoch(model: keras.Model, steps_per_epoch: int) -> Iterator[None]:
    """Lets batch norm average over a quarter of an epoch at most.

    With few steps the usual momentum of 0.99 would keep the first, untrained statistics for many epochs.
    """
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = min(norm.momentum, max(0.5, 1 - 4 / steps_per_epoch))
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def _reseed_layers(model: keras.Model, seed: int, epoch: int) -> None:
    """Gives dropout and other random layers the state that belongs to the epoch."""
    states = [variable for variable in model.variables if variable.path.endswith("seed_generator_state")]
    generator = np.random.default_rng([seed, epoch])
    for state in states:
        state.assign(generator.integers(2**31, size=state.shape))


def _identity(model: keras.Model, dataset: Dataset, epochs: int, seed: int, batch_size: int) -> str:
    """Tells trainings apart: settings, data and first weights."""
    settings = {
        "dataset": dataset.name,
        "samples": len(dataset.train),
        "epochs": epochs,
        "seed": seed,
        "batch_size": batch_size,
        "optimizer": keras.saving.serialize_keras_object(model.optimizer),
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for weights in model.get_weights():
        digest.update(weights.tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class _Stored:
    """What a checkpoint holds."""

    identity: str
    epochs: list[Epoch]
    state: list[NDArray[Any]]
    """Variables of the model, then of the optimizer."""


class _Checkpoint:
    """The state after the last complete epoch, in a file that is whole or not there."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def exists(self) -> bool:
        return self._path.exists()

    def read(self) -> _Stored:
        try:
            with np.load(self._path) as stored:
                header = json.loads(str(stored["header"]))
                state = [stored[f"variable_{index}"] for index in range(len(stored.files) - 1)]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise UsageError(f"{self._path} is damaged; delete it to start the training again.") from error
        return _Stored(header["identity"], [Epoch(**epoch) for epoch in header["epochs"]], state)

    def restore(self, model: keras.Model, identity: str) -> list[Epoch]:
        """Brings model and optimizer to the stored state; returns the epochs that led to it."""
        if not self.exists:
            return []
        stored = self.read()
        if stored.identity != identity:
            raise UsageError(
                f"{self._path.parent} holds a training with other data, settings or first weights; "
                "choose another folder, or delete it."
            )
        for variable, value in zip(_state(model), stored.state, strict=True):
            variable.assign(value)
        return stored.epochs

    def save(self, model: keras.Model, identity: str, epochs: list[Epoch]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        header = json.dumps({"identity": identity, "epochs": [asdict(epoch) for epoch in epochs]})
        state = {
            f"variable_{index}": keras.ops.convert_to_numpy(variable) for index, variable in enumerate(_state(model))
        }
        partial = self._path.with_name(f".{self._path.stem}.partial{self._path.suffix}")
        np.savez(partial, allow_pickle=False, header=np.array(header), **state)
        os.replace(partial, self._path)


def _state(model: keras.Model) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]


@contextmanager
def _progress(epochs: int, done: int) -> Iterator[Callable[[Epoch], None]]:
    """Shows on a terminal how far the training is, and nothing elsewhere."""
    columns = (
        TextColumn("Training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[result]}"),
    )
    started = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), disable=not Console(stderr=True).is_terminal) as progress:
        task = progress.add_task("", total=epochs, completed=done, result="")

        def advance(epoch: Epoch) -> None:
            seconds = time.monotonic() - started
            result = f"validation {epoch.validation_accuracy:.1%}, {seconds:.0f} s"
            progress.update(task, advance=1, result=result)

        yield advance
