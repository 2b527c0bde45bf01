"""Plays a trace of changing budgets on a board, as its time, energy and memory would change in the field."""

import math
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from reds.errors import UsageError
from reds_bench.client import Bench


@dataclass(frozen=True)
class Step:
    """Limits, and how many inferences run under them. A limit that is None does not limit."""

    inferences: int
    macs: int | None = None
    """Most multiply-accumulates of one inference."""
    macs_fraction: float | None = None
    """The same as a fraction of the full network's."""
    arena_bytes: int | None = None
    microseconds: int | None = None
    """Most microseconds of one inference."""


@dataclass(frozen=True)
class Scenario:
    """Steps that are played in order."""

    name: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Budget:
    """The limits that the board was given."""

    macs: int | None
    arena_bytes: int | None
    microseconds: int | None


@dataclass(frozen=True)
class Record:
    """One inference of a scenario. `dataclasses.asdict` makes it ready for JSON."""

    step: int
    sample: int
    """Index of the sample."""
    budget: Budget
    subnetwork: int
    """The one that ran."""
    predicted: int
    """Index of the highest score."""
    label: int | None
    microseconds: int
    instructions: int | None
    """None on a board that does not count them."""


def load_scenario(path: str | Path) -> Scenario:
    """Reads a scenario from a TOML file.

    Args:
        path: a file with a `name` and an array of tables `steps`, whose keys are the fields of `Step`.

    Raises:
        UsageError: if the file cannot be read or is not a scenario.
    """
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"The scenario {str(path)!r} cannot be read: {error}.") from error
    steps = content.get("steps")
    if not isinstance(steps, list) or not steps:
        raise UsageError(f"The scenario {str(path)!r} must have at least one table [[steps]].")
    return Scenario(
        str(content.get("name", Path(path).stem)),
        tuple(_step(f"{path}, step {index}", step) for index, step in enumerate(steps)),
    )


def play(
    bench: Bench,
    scenario: Scenario,
    samples: Sequence[bytes],
    output_type: DTypeLike,
    labels: Sequence[int] | None = None,
) -> Iterator[Record]:
    """Plays a scenario; the samples are used in order, from the first again when they are used up.

    Args:
        bench: the board.
        scenario: the budgets.
        samples: inputs as the model takes them, each one the input tensor's bytes.
        output_type: type of the model's output.
        labels: the samples' classes.

    Yields:
        A record after each inference.

    Raises:
        UsageError: if samples and labels do not fit.
        DeviceError: if no subnetwork fits a budget, or the board fails.
    """
    if not samples or (labels is not None and len(labels) != len(samples)):
        raise UsageError(
            "`samples` must not be empty and `labels` must have as many entries. "
            f"Received: {len(samples)} samples, {'no' if labels is None else len(labels)} labels."
        )
    full_macs = bench.subnetworks()[0].macs
    count = 0
    for index, step in enumerate(scenario.steps):
        budget = _budget(step, full_macs)
        bench.budget(budget.macs, budget.arena_bytes, budget.microseconds)
        for _ in range(step.inferences):
            sample = count % len(samples)
            bench.upload(samples[sample])
            result = bench.infer(iterations=1, warmup=0)
            stats = bench.stats()
            label = None if labels is None else int(labels[sample])
            scores = np.frombuffer(bench.output(), np.dtype(output_type).newbyteorder("<"))
            predicted = int(scores.argmax())
            instructions = stats.last_instructions or None
            yield Record(index, sample, budget, stats.selected, predicted, label, result.microseconds, instructions)
            count += 1


def _step(place: str, table: object) -> Step:
    fields = Step.__dataclass_fields__
    if not isinstance(table, dict) or not set(table) <= set(fields):
        raise UsageError(f"{place} must be a table with keys of {', '.join(fields)}. Received: {table!r}.")
    if not isinstance(table.get("inferences"), int):
        raise UsageError(f"{place} must say how many `inferences` it runs. Received: {table!r}.")
    if "macs" in table and "macs_fraction" in table:
        raise UsageError(f"{place} must have only one of `macs` and `macs_fraction`. Received: {table!r}.")
    for key, value in table.items():
        kinds = (int, float) if key == "macs_fraction" else (int,)
        if isinstance(value, bool) or not isinstance(value, kinds) or value <= 0:
            raise UsageError(f"{place} must have a positive number as `{key}`. Received: {value!r}.")
    return Step(**table)


def _budget(step: Step, full_macs: int) -> Budget:
    macs = step.macs if step.macs_fraction is None else max(1, math.floor(step.macs_fraction * full_macs))
    return Budget(macs, step.arena_bytes, step.microseconds)
