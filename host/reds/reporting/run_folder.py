"""What a run folder says about its run."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from reds.errors import UsageError
from reds.graph import Family, Ranked, Subnetwork
from reds.inspecting import ModelReport, SubnetworkReport, TargetReport, inspect, unit_of
from reds.run_folder import (
    BASELINE_KINDS,
    BASELINES_FOLDER,
    EPOCHS_FILE,
    FAMILY_FILE,
    FAMILY_KINDS,
    MODEL_FILE,
    RANKED_FILE,
    SEED_FOLDER,
    SETTINGS_FILE,
    TABLE_FILE,
    TRACE_FILE,
)
from reds.shallow import shallow_network
from reds.store import load
from reds_bench.emulator import COUNTING_TARGETS
from reds_bench.scenario import Budget, Record

Value = TypeVar("Value")


@dataclass(frozen=True)
class Phase:
    """The history of one training: of the subnetworks together, or of an exit's head."""

    name: str
    epochs: tuple[int, ...]
    """Rising; 0 is the state before training."""
    loss: tuple[float, ...]
    accuracy: Mapping[str, tuple[float, ...]]
    """Per subnetwork on the validation split, in [0, 1]."""


@dataclass(frozen=True)
class Check:
    """One comparison of a verification."""

    what: str
    subnetwork: str
    samples: int
    passed: bool
    detail: str


@dataclass(frozen=True)
class Counts:
    """Instructions that a board counted beside those of an inference."""

    board: str
    switch: int
    budget: int
    open: int

    @property
    def unit(self) -> str:
        """What the instructions are: "instructions" or "cycles"."""
        return unit_of(COUNTING_TARGETS.get(self.board, self.board))


@dataclass(frozen=True)
class Baseline:
    """What the run is compared with, made in another way; costs and accuracies are means over the seeds."""

    kind: str
    seeds: tuple[int, ...]
    epochs: int
    subnetworks: tuple[SubnetworkReport, ...]
    deviations: tuple[float | None, ...]
    """Of each subnetwork's accuracy over the seeds; None for one seed."""
    measured: tuple[int, ...]
    """How many of the seeds have each subnetwork."""


@dataclass(frozen=True)
class Run:
    """A run; what its folder does not hold is None or empty."""

    model: ModelReport
    sha256: str
    """Of the model file."""
    family: Family | None
    importance_method: str | None
    phases: tuple[Phase, ...]
    counts: Counts | None
    trace: tuple[Record, ...]
    checks: tuple[Check, ...]
    baselines: tuple[Baseline, ...]
    """With subnetworks that stand for the run's, in their order."""
    families: tuple[Baseline, ...]
    """Baselines with subnetworks of their own."""
    settings: Mapping[str, Any]
    """As recorded, with groups of settings as mappings."""
    request: Mapping[str, Any]
    """What the command that made the run was asked for."""


def read_run(folder: Path) -> Run:
    """Reads a run folder.

    Args:
        folder: what `reds prune` or `reds demo` wrote.

    Returns:
        The run. What was recorded about another model file than the one that is there is left out.

    Raises:
        UsageError: if the folder is no finished run, or a file in it is damaged.
    """
    path = folder / MODEL_FILE
    if not path.is_file():
        raise UsageError(
            f"'{folder}' is not a finished run: it holds no {MODEL_FILE}. Make one with `reds prune` or `reds demo`."
        )
    model = inspect(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    table = _read_json(folder / TABLE_FILE, dict) or {}
    played = table.get("sha256") == sha256
    if not played:
        table = {}
    ranked = _load(folder / RANKED_FILE, Ranked)
    return Run(
        model=model,
        sha256=sha256,
        family=_family(folder / FAMILY_FILE, model),
        importance_method=ranked.method if ranked else None,
        phases=_parsed(folder / EPOCHS_FILE, list, _phases, ()),
        counts=_parsed(folder / TABLE_FILE, dict, _counts, None) if played else None,
        trace=_parsed(folder / TRACE_FILE, list, _records, ()) if played else (),
        checks=_parsed(folder / TABLE_FILE, dict, _checks, ()) if played else (),
        baselines=tuple(_baselines(folder, BASELINE_KINDS)),
        families=tuple(_baselines(folder, FAMILY_KINDS)),
        settings=_read_json(folder / SETTINGS_FILE, dict) or {},
        request=table.get("request", {}),
    )


def active_groups(family: Family, subnetwork: Subnetwork) -> frozenset[int]:
    """Channel groups that a subnetwork runs before it leaves the network.

    Args:
        family: the network and its exits.
        subnetwork: one of the family's.
    """
    network = shallow_network(family.graph, skips=subnetwork.skips)
    nodes = network.graph.nodes
    node = network.places[family.exits[subnetwork.exit - 1].tap] if subnetwork.exit else len(nodes) - 1
    groups = {nodes[index].output_group for index in network.graph.ancestors(node)}
    return frozenset(network.groups[group] for group in groups if group is not None)


def _load(path: Path, kind: type[Value]) -> Value | None:
    return load(path, kind) if path.exists() else None


def _family(path: Path, model: ModelReport) -> Family | None:
    family = _load(path, Family)
    if family is None:
        return None
    searched = [(one.name, one.widths) for one in family.subnetworks]
    if searched != [(row.name, row.widths) for row in model.subnetworks]:
        raise UsageError(
            f"'{path}' holds other subnetworks than {MODEL_FILE} beside it; emit the model again with "
            f"`reds emit {path.parent} -o {path.parent / MODEL_FILE}`."
        )
    return family


def _read_json(path: Path, kind: type[Value]) -> Value | None:
    """The document of a file, or None where there is no file."""
    if not path.exists():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _damaged(path) from error
    if not isinstance(document, kind):
        raise _damaged(path)
    return document


def _parsed(path: Path, kind: type, parse: Callable[[Any], Value], missing: Value) -> Value:
    document = _read_json(path, kind)
    if document is None:
        return missing
    try:
        return parse(document)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> UsageError:
    return UsageError(f"Cannot read '{path}': it is damaged or from another release; remove it.")


def _phases(epochs: list[dict[str, Any]]) -> tuple[Phase, ...]:
    names = dict.fromkeys(epoch["phase"] for epoch in epochs)
    return tuple(_phase(name, [epoch for epoch in epochs if epoch["phase"] == name]) for name in names)


def _phase(name: str, epochs: list[dict[str, Any]]) -> Phase:
    return Phase(
        name=str(name),
        epochs=tuple(int(epoch["epoch"]) for epoch in epochs),
        loss=tuple(float(epoch["loss"]) for epoch in epochs),
        accuracy={
            subnetwork: tuple(float(epoch["validation_accuracy"][subnetwork]) for epoch in epochs)
            for subnetwork in epochs[0]["validation_accuracy"]
        },
    )


def _baselines(folder: Path, kinds: Sequence[str]) -> Iterator[Baseline]:
    """Those of this run; what an earlier run in the folder was compared with is left out."""
    run = _read_json(folder / SETTINGS_FILE, dict)
    for kind in kinds:
        place = folder / BASELINES_FOLDER / kind
        baseline = _parsed(place / TABLE_FILE, dict, _baseline, None)
        if baseline is None:
            continue
        made_for = _read_json(place / SEED_FOLDER.format(seed=baseline.seeds[0]) / SETTINGS_FILE, dict) or {}
        if made_for.get("run") == run:
            yield baseline


def _baseline(table: dict[str, Any]) -> Baseline:
    rows = table["subnetworks"]
    names = [field.name for field in fields(SubnetworkReport)]
    values = [{name: row[name] for name in names} for row in rows]
    for row in values:
        row["targets"] = {name: TargetReport(**counted) for name, counted in row["targets"].items()}
    return Baseline(
        kind=str(table["kind"]),
        seeds=tuple(int(seed) for seed in table["seeds"]),
        epochs=int(table["epochs"]),
        subnetworks=tuple(SubnetworkReport(**row) for row in values),
        deviations=tuple(row["deviation"] for row in rows),
        measured=tuple(len(row["accuracies"]) for row in rows),
    )


def _counts(table: dict[str, Any]) -> Counts | None:
    if "switch_instructions" not in table:
        return None
    return Counts(
        board=str(table["request"]["board"]),
        switch=int(table["switch_instructions"]),
        budget=int(table["budget_instructions"]),
        open=int(table["open_instructions"]),
    )


def _records(records: list[dict[str, Any]]) -> tuple[Record, ...]:
    return tuple(Record(**{**record, "budget": Budget(**record["budget"])}) for record in records)


def _checks(table: dict[str, Any]) -> tuple[Check, ...]:
    if "verification" not in table:
        return ()
    return tuple(
        Check(*(check[name] for name in ("what", "subnetwork", "samples", "passed", "detail")))
        for check in table["verification"]["checks"]
    )
