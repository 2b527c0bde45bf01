"""Makes a baseline with the stages that made the run, and keeps it in the run's folder."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from reds import cost
from reds.baselines.families import family_settings
from reds.baselines.networks import standalone, with_fresh_weights
from reds.baselines.sparse import nonzero_parameters, sparsity_for, train_sparse
from reds.baselines.table import budget_of, mean_table, merged_table, name_of
from reds.compiled import emitted_type
from reds.cost import full_widths
from reds.datasets import Data, Dataset, as_dataset
from reds.errors import RedsError, UsageError
from reds.files import write_atomically
from reds.finetuning.training import Schedule
from reds.graph import Family, Ranked, Subnetwork, Supernet
from reds.inspecting import ModelReport, inspect
from reds.measuring import measure_instructions
from reds.pruning import (
    PruneSettings,
    complete,
    epoch_recorder,
    hash_of_labels,
    rank_channels,
    read_identity,
    search_family,
    searched,
    settled,
)
from reds.run_folder import (
    BASELINE_KINDS,
    BASELINES_FOLDER,
    FAMILY_FILE,
    FAMILY_KINDS,
    MODEL_FILE,
    RANKED_FILE,
    SEED_FOLDER,
    SUPERNET_FILE,
    TABLE_FILE,
)
from reds.runtime import Runtime
from reds.shallow import subnetwork_network
from reds.solving.depth import with_taken_exits
from reds.solving.formulation import Rules
from reds.solving.uniform import with_uniform_widths
from reds.stages import claimed, stage
from reds.store import load
from reds.training import DEFAULT_LEARNING_RATE, trained_epochs
from reds_bench.emulator import COUNTING_TARGETS

FROM_RANDOM_WEIGHTS = ("alone", "from_scratch")
"""Baselines that do not start from the run's trained network."""

BATCH_SIZE = 100
"""As `finetune` has it by default."""


@dataclass(frozen=True)
class Baseline:
    """A baseline of a run, measured."""

    kind: str
    folder: Path
    """Where it is kept: a folder for each seed, and the table."""
    table: Mapping[str, Any]
    """As a run's table, with `kind`, `seeds` and `epochs`; accuracies and costs are means over the seeds, and each
    subnetwork has the `accuracies` of the seeds and their `deviation`. Of a family each row is what it found for a
    budget or an exit, with its own costs."""


def measure_baseline(
    kind: str,
    run: Path | str,
    dataset: Data,
    seeds: Sequence[int] | None = None,
    training_epochs: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Baseline:
    """Makes one baseline of a run: see `measure_baselines`."""
    return next(measure_baselines((kind,), run, dataset, seeds, training_epochs, progress))


def measure_baselines(
    kinds: Sequence[str],
    run: Path | str,
    dataset: Data,
    seeds: Sequence[int] | None = None,
    training_epochs: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Iterator[Baseline]:
    """Makes what a run is compared with, or what an interruption left of it to do, and measures it with libreds.

    Instructions are counted on the emulated boards that those of the run were counted on, as far as there are any here.

    All baselines have the run's budgets, limits, data, type and, where they start from its trained network, its epochs
    of fine-tuning. These have for each subnetwork of the run one of their own:

    - "uniform": the same fraction of channels in every layer, the largest whose true cost keeps each budget
      (slimmable networks), in the run's order of channels, tuned jointly.
    - "magnitude": channels in the order of their L1 norm; widths are searched with it as importance.
    - "random": channels in random order; widths are searched with random importance.
    - "sparse": no channels at all: for each subnetwork the full network, tuned alone with single weights at zero, the
      smallest of each layer, so that as many parameters are left as the subnetwork has. Its row also says how many
      (`nonzero_parameters`); all that it costs on the device is what the full network costs.

    These start from random weights and are trained for the epochs of the network's training and of the fine-tuning
    together:

    - "alone": every subnetwork is a network of its own, with as many channels; of an exit, the cut network with the
      exit's head.
    - "from_scratch": the run's subnetworks share weights and are trained jointly.

    These start from the run's trained network, in its order of channels, and are families with other subnetworks than
    the run's, each with its own costs (see `family_settings`):

    - "width", "depth", "joint": narrower subnetworks without exits; an exit behind every block at full width; the most
      accurate exit and widths of each budget, after a training of all candidates for as many epochs again.
    - "width_labels", "depth_labels", "joint_labels": the same without distillation.

    Args:
        kinds: one or several of the above.
        run: folder of a finished run; a baseline is kept in its folder `baselines/KIND`.
        dataset: the run's data.
        seeds: of order, random weights, batches and augmentation, one result each; the run's own where None.
        training_epochs: epochs that the run's network was trained for; read from the run's folder where None.
        progress: called with a line for people.

    Returns:
        The baselines in their order, each when it is made. A call that is repeated reads what is done.

    Raises:
        UsageError: before anything is made, if the folder is no finished run, the data are not the run's, or its
            network has no place for an exit that a kind needs; later, if the folder holds a baseline of another run.
    """
    sources = [_read_source(Path(run), kind, training_epochs) for kind in kinds]
    if not sources:
        raise UsageError("`kinds` must hold at least one kind. Received: none.")
    own = _data_of(sources[0], dataset)
    chosen = (sources[0].settings.seed,) if seeds is None else tuple(dict.fromkeys(seeds))
    if not chosen:
        raise UsageError("`seeds` must hold at least one seed. Received: none.")
    return (_baseline(source, Path(run), own, chosen, progress) for source in sources)


@dataclass(frozen=True)
class _Source:
    """The run, as far as a baseline of one kind depends on it."""

    kind: str
    identity: Mapping[str, Any]
    settings: PruneSettings
    """As the baseline has them."""
    ranked: Ranked
    family: Family
    boards: tuple[str, ...]
    """Emulated boards that the run's instructions were counted on."""

    @property
    def epochs(self) -> int:
        return self.settings.epochs


def _read_source(run: Path, kind: str, training_epochs: int | None) -> _Source:
    known = BASELINE_KINDS + FAMILY_KINDS
    if kind not in known:
        raise UsageError(f"`kind` must be one of {', '.join(known)}. Received: kind={kind!r}")
    identity = read_identity(run)
    if not (run / MODEL_FILE).is_file():
        raise UsageError(f"'{run}' is not a finished run: it holds no {MODEL_FILE}. Finish it with `reds prune`.")
    settings = _settings(identity["settings"])
    ranked, family = load(run / RANKED_FILE, Ranked), load(run / FAMILY_FILE, Family)
    if kind in FAMILY_KINDS:
        settings = family_settings(kind, settings, ranked.graph)
    if kind in FROM_RANDOM_WEIGHTS:
        settings = _with_all_epochs(run, settings, training_epochs)
    targets = inspect(run / MODEL_FILE).subnetworks[0].targets
    measured = {name for name, counted in targets.items() if counted.measured}
    boards = tuple(board for board, target in COUNTING_TARGETS.items() if target in measured)
    return _Source(kind, identity, settings, ranked, family, boards)


def _data_of(source: _Source, data: Data) -> Dataset:
    """The run's data in the network's input shape, after a look whether they are the run's."""
    graph, identity = source.family.graph, source.identity
    dataset = as_dataset(data, graph.input_shape, graph.output_shape[-1])
    if (dataset.name, hash_of_labels(dataset)) != (identity["data"], identity["labels"]):
        raise UsageError(
            f"The run was made with other data: {identity['data']}, drawn with seed {identity['settings']['seed']}. "
            f"Received: {dataset.name}; load the same."
        )
    return dataset.with_input_shape(graph.input_shape)


def _settings(recorded: Mapping[str, Any]) -> PruneSettings:
    values: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in recorded.items()}
    return PruneSettings(**values)


def _with_all_epochs(run: Path, settings: PruneSettings, training_epochs: int | None) -> PruneSettings:
    """The settings of a training from random weights for as long as the family's network was trained in all."""
    before = trained_epochs(run) if training_epochs is None else training_epochs
    if before is None:
        raise UsageError(
            f"'{run}' does not hold the training of its network: say with --training-epochs how many epochs it had."
        )
    return replace(settings, epochs=before + settings.epochs, learning_rate=DEFAULT_LEARNING_RATE)


def _baseline(
    source: _Source, run: Path, dataset: Dataset, seeds: Sequence[int], progress: Callable[[str], None]
) -> Baseline:
    folder = run / BASELINES_FOLDER / source.kind
    tables = [_table_of_seed(source, seed, dataset, folder / SEED_FOLDER.format(seed=seed), progress) for seed in seeds]
    # In a joint family each seed may meet a budget through another exit.
    means = mean_table(tables, budget_of if source.kind in FAMILY_KINDS else name_of)
    table = {"kind": source.kind, "seeds": list(seeds), "epochs": source.epochs, **means}
    _write_table(folder / TABLE_FILE, table)
    return Baseline(source.kind, folder, table)


def _table_of_seed(
    source: _Source, seed: int, dataset: Dataset, folder: Path, progress: Callable[[str], None]
) -> dict[str, Any]:
    """The table of one seed, made first where it is missing."""
    identity = {"kind": source.kind, "seed": seed, "epochs": source.epochs, "run": source.identity}
    path = folder / TABLE_FILE
    progress(f"{source.kind}, seed {seed}: {source.epochs} epochs, {folder}")
    with claimed(folder, identity, "Remove it to make it again."):
        if path.exists():
            return json.loads(path.read_text(encoding="utf-8"))
        seeded = replace(source, settings=replace(source.settings, seed=seed))
        table = TABLES.get(source.kind, _joint_table)(seeded, dataset, folder, progress)
    _write_table(path, table)
    return table


def _joint_table(source: _Source, dataset: Dataset, folder: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    family = stage(folder / FAMILY_FILE, Family, lambda: _joint_family(source, dataset, folder, progress))
    return _measured(source, family, dataset, folder, progress).as_dict()


def _joint_family(source: _Source, dataset: Dataset, folder: Path, progress: Callable[[str], None]) -> Family:
    settings, family = source.settings, source.family
    match source.kind:
        case "uniform":
            element_bytes = emitted_type(settings.type).dtype.itemsize
            rules = Rules(multiple=settings.multiple, minimum=settings.minimum, element_bytes=element_bytes)
            return with_uniform_widths(family, rules)
        case "from_scratch":
            fresh = with_fresh_weights(family.graph, settings.seed)
            heads = (replace(one, head=with_fresh_weights(one.head, settings.seed)) for one in family.exits)
            return replace(family, graph=fresh, exits=tuple(heads))
        case _:
            method: Literal["l1", "random"] = "l1" if source.kind == "magnitude" else "random"
            settings = replace(settings, importance=method)
            graph = source.ranked.graph
            ranked = stage(folder / RANKED_FILE, Ranked, lambda: rank_channels(graph, dataset, settings, progress))
            return _with_names_of(family, search_family(ranked, settings, progress))


def _with_names_of(family: Family, found: Family) -> Family:
    """Of what was found the subnetworks that the run has; of a joint search it kept only some."""
    names = {one.name for one in family.subnetworks}
    return with_taken_exits(replace(found, subnetworks=tuple(one for one in found.subnetworks if one.name in names)))


def _family_table(source: _Source, dataset: Dataset, folder: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    found = searched(source.ranked, folder, source.settings, progress)
    family = settled(found, dataset, folder, source.settings, progress)
    return _measured(source, family, dataset, folder, progress).as_dict()


def _alone_table(source: _Source, dataset: Dataset, folder: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    reports = []
    for index, family in enumerate(_families_alone(source)):
        progress(f"training '{source.family.subnetworks[index].name}' alone")
        reports.append(_measured(source, family, dataset, folder / f"subnetwork-{index}", progress))
    return merged_table(reports, source.family)


def _sparse_table(source: _Source, dataset: Dataset, folder: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    family = source.family
    full = family.subnetworks[0].widths
    reports, counts = [], []
    for index, one in enumerate(family.subnetworks):
        place = folder / f"subnetwork-{index}"
        sparse = _sparse_family(source, one, dataset, place, progress)
        reports.append(_measured(source, sparse, dataset, place, progress))
        counts.append(nonzero_parameters(sparse.graph))
    names = tuple(Subnetwork(one.name, full) for one in family.subnetworks)
    table = merged_table(reports, replace(family, exits=(), subnetworks=names))
    rows = zip(table["subnetworks"], counts, strict=True)
    return table | {"subnetworks": [row | {"nonzero_parameters": count} for row, count in rows]}


def _sparse_family(
    source: _Source, like: Subnetwork, dataset: Dataset, folder: Path, progress: Callable[[str], None]
) -> Family:
    """The full network with as many parameters that are not zero as a subnetwork has, trained and kept in a folder."""
    family, settings = source.family, source.settings
    network = subnetwork_network(family, like)
    parameters = int(cost.parameters(network.graph, network.narrow(like.widths)))
    sparsity = sparsity_for(family.graph, parameters)
    schedule = Schedule(settings.epochs, settings.learning_rate, BATCH_SIZE, settings.seed, settings.decay)
    progress(f"training the full network with {sparsity:.1%} of its weights at zero, as many as '{like.name}' lacks")

    def train() -> Supernet:
        record = epoch_recorder(folder, progress)
        return train_sparse(family.graph, like.name, sparsity, dataset, schedule, folder, record)

    return stage(folder / SUPERNET_FILE, Supernet, train).family


TABLES = {"alone": _alone_table, "sparse": _sparse_table, **dict.fromkeys(FAMILY_KINDS, _family_table)}
"""How the table of a kind is made that does not train the run's own subnetworks jointly."""


def _measured(
    source: _Source, family: Family, dataset: Dataset, folder: Path, progress: Callable[[str], None]
) -> ModelReport:
    """Trains and emits a family, and measures it as the run was measured."""
    path = complete(family, dataset, folder, source.settings, progress).model
    x, _ = dataset.test.take(np.arange(1)).features()
    for board in source.boards:
        try:
            measure_instructions(path, board, Runtime(path).quantize(x)[0], progress)
        except RedsError as error:
            progress(f"instructions are not counted on {board}: {error}")
    return inspect(path)


def _families_alone(source: _Source) -> Iterator[Family]:
    """A family of one for each subnetwork."""
    for index, chosen in enumerate(source.family.subnetworks):
        graph = with_fresh_weights(standalone(source.family, index), source.settings.seed)
        yield Family(graph, (), (), (Subnetwork(chosen.name, full_widths(graph)),))


def _write_table(path: Path, table: Mapping[str, Any]) -> None:
    write_atomically(path, (json.dumps(table, indent=2) + "\n").encode())
