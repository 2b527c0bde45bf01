"""The page about a run, section by section. A section without anything to say is an empty string."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from string import Template
from typing import Any

from reds.graph import Family, Solution
from reds.inspecting import ModelReport, SubnetworkReport
from reds.reporting.figures import (
    FAMILY_NAMES,
    RIVAL_NAMES,
    Plot,
    cost_plots,
    family_plots,
    importance_plots,
    trace_plot,
    training_plots,
)
from reds.reporting.markup import (
    Column,
    Content,
    Markup,
    code,
    facts,
    paragraph,
    section,
    table,
    with_note,
    with_share,
)
from reds.reporting.run_folder import Baseline, Check, Phase, Run, active_groups
from reds.reporting.style import STYLE_SHEET

PAGE = Template(
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
$body</main>
</body>
</html>
"""
)

UNKNOWN = "-"
NOT_RUN = "not run"

SETTING_NAMES = {"model": "SHA-256 of the given weights", "labels": "SHA-256 of classes and labels"}
"""What the settings file calls too briefly."""


@dataclass(frozen=True)
class Page:
    """A page and the plots on it."""

    html: str
    plots: tuple[Plot, ...]


@dataclass(frozen=True)
class _Plots:
    """All plots of a page, by section."""

    costs: tuple[Plot, ...]
    families: tuple[Plot, ...]
    importance: tuple[Plot, ...]
    training: tuple[Plot, ...]
    trace: tuple[Plot, ...]


def make_page(run: Run) -> Page:
    """Writes the page of a run.

    Args:
        run: what is known about it.

    Returns:
        An HTML document that refers to nothing outside itself, and its plots.
    """
    plots = _Plots(
        costs=cost_plots(run),
        families=family_plots(run),
        importance=importance_plots(run),
        training=training_plots(run),
        trace=(trace_plot(run),) if run.trace else (),
    )
    sections = (
        _header(run),
        _subnetworks(run.model),
        _accuracy(run, plots.costs),
        _baselines(run),
        _families(run, plots.families),
        _widths(run),
        _importance(run, plots.importance),
        _search(run),
        _training(run, plots.training),
        _trace(run, plots.trace),
        _verification(run),
        _reproduction(run),
    )
    title = escape(f"{run.model.name}: {len(run.model.subnetworks)} subnetworks in one file")
    html = PAGE.substitute(title=title, style=STYLE_SHEET, body="".join(sections))
    return Page(html, (*plots.costs, *plots.families, *plots.importance, *plots.training, *plots.trace))


def _header(run: Run) -> str:
    model = run.model
    items = [
        ("Type", model.element_type),
        ("File", f"{model.file_bytes:,} bytes"),
        ("Input", _shape(model.input_shape)),
        ("Output", _shape(model.output_shape)),
        ("Subnetworks", str(len(model.subnetworks))),
    ]
    if run.counts is not None:
        items += [
            ("Switch to a subnetwork", f"{run.counts.switch:,} {run.counts.unit}"),
            ("Answer to a budget", f"{run.counts.budget:,} {run.counts.unit}"),
            ("Open the file, once", f"{run.counts.open:,} {run.counts.unit}"),
            ("Counted on", run.counts.board),
        ]
    return f"<header>\n<h1>{escape(model.name)}</h1>\n{facts(items)}</header>\n"


def _subnetworks(model: ModelReport) -> str:
    units = {name: counted.unit for row in model.subnetworks for name, counted in row.targets.items()}
    targets = sorted(units)
    columns = [
        Column("Subnetwork", number=False),
        Column("MACs", "per inference"),
        Column("MACs", "of the full network"),
        Column("Parameters"),
        Column("Flash", "bytes"),
        Column("Arena", "bytes"),
        *(Column(target, units[target]) for target in targets),
        Column("Accuracy", "test split"),
    ]
    full = model.subnetworks[0].macs
    rows = [_subnetwork(row, full, targets) for row in model.subnetworks]
    return section(
        "Subnetworks",
        table("What each subnetwork of the file costs and gives", columns, rows),
        paragraph(
            "MACs are multiply-accumulates of all layers, the classifier included. Flash is what an inference reads "
            "of the file; the arena is the memory it needs. Accuracy is that of libreds."
            + (" Instructions are those that retire during an inference." if targets else "")
        ),
    )


def _subnetwork(row: SubnetworkReport, full_macs: int, targets: Sequence[str]) -> list[Content]:
    return [
        with_note(row.name, f"id {row.id}"),
        f"{row.macs:,}",
        _percent(row.macs / full_macs),
        f"{row.parameters:,}",
        f"{row.flash_bytes:,}",
        f"{row.arena_bytes:,}",
        *(_instructions(row, target) for target in targets),
        UNKNOWN if row.accuracy is None else _percent(row.accuracy),
    ]


def _instructions(row: SubnetworkReport, target: str) -> Content:
    if target not in row.targets:
        return UNKNOWN
    counted = row.targets[target]
    return with_note(f"{counted.instructions:,}", "measured" if counted.measured else "estimated")


def _accuracy(run: Run, plots: Sequence[Plot]) -> str:
    if not plots:
        return ""
    legend = paragraph("Dotted lines are the baselines below, crosses their exits.") if run.baselines else ""
    return section("Accuracy against cost", legend, _grid(plots))


def _baselines(run: Run) -> str:
    if not run.baselines:
        return ""
    columns = [
        Column("Subnetwork", number=False),
        Column("This run", "accuracy"),
        *(Column(_title(RIVAL_NAMES[one.kind]), f"{one.epochs} epochs") for one in run.baselines),
    ]
    rows = [_beside_baselines(run, index) for index in range(len(run.model.subnetworks))]
    return section(
        "Baselines",
        paragraph(
            "The same budgets, data and type, made in other ways. Accuracies are those of libreds on the test split, "
            "below them the multiply-accumulates. Uniform widths, the order by L1 norm and the random order start "
            "from the run's trained network and are tuned jointly. Sparse weights: the run's trained network, tuned "
            "with so many single weights at zero that as many parameters are left, which makes nothing cheaper. The "
            "others start from random weights and are trained for as many epochs as training and fine-tuning had "
            "together."
        ),
        table("Accuracy of the run and its baselines", columns, rows),
        paragraph(_seeds(run.baselines)),
    )


def _seeds(baselines: Sequence[Baseline]) -> str:
    seeds = sorted({seed for one in baselines for seed in one.seeds})
    if len(seeds) == 1:
        return f"Seed {seeds[0]}."
    return f"Means and sample standard deviations over the seeds {', '.join(str(seed) for seed in seeds)}."


def _beside_baselines(run: Run, index: int) -> list[Content]:
    row = run.model.subnetworks[index]
    cells = [
        _accuracy_at(one.subnetworks[index], one.deviations[index]) if index < len(one.subnetworks) else UNKNOWN
        for one in run.baselines
    ]
    return [row.name, _accuracy_at(row, None), *cells]


def _families(run: Run, plots: Sequence[Plot]) -> str:
    if not run.families:
        return ""
    columns = [
        Column("Family", number=False),
        Column("Subnetwork", number=False),
        Column("Exit", number=False),
        Column("MACs", "per inference"),
        Column("MACs", "of the full network"),
        Column("Accuracy", "test split"),
    ]
    full = run.model.subnetworks[0].macs
    placed = [(row.macs, _placed("this run", row, full)) for row in run.model.subnetworks]
    for family in run.families:
        rows = zip(family.subnetworks, family.deviations, family.measured, strict=True)
        for row, deviation, measured in rows:
            note = "" if measured == len(family.seeds) else f"{measured} of {len(family.seeds)} seeds"
            placed.append((row.macs, _placed(FAMILY_NAMES[family.kind], row, full, deviation, note)))
    return section(
        "Width, depth and both",
        paragraph(
            "Families with subnetworks of their own, from the run's trained network, for its budgets: narrower ones "
            "without exits; an exit behind every block at full width, trained with the network; of all exits and "
            "widths within a budget the most accurate, for which all candidates are trained before and those that are "
            "left for as many epochs again. Without distillation they are trained on the labels alone. "
            "Their subnetworks cost something else than the run's, so all are in the order of their "
            "multiply-accumulates; in the plot the labelled points are the run's. Accuracies are those of libreds on "
            "the test split."
        ),
        _grid(plots),
        table("All subnetworks by their cost", columns, [cells for _, cells in sorted(placed, key=lambda one: one[0])]),
        paragraph(_seeds(run.families)),
    )


def _placed(
    family: str, row: SubnetworkReport, full_macs: int, deviation: float | None = None, note: str = ""
) -> list[Content]:
    """The cells of a row that is placed by its cost."""
    accuracy = _accuracy_with(row, deviation)
    return [
        _title(family),
        row.name,
        row.exit,
        f"{row.macs:,}",
        _percent(row.macs / full_macs),
        with_note(accuracy, note) if note else accuracy,
    ]


def _title(name: str) -> str:
    return name[0].upper() + name[1:]


def _accuracy_at(row: SubnetworkReport, deviation: float | None) -> Content:
    return with_note(_accuracy_with(row, deviation), f"{row.macs:,}")


def _accuracy_with(row: SubnetworkReport, deviation: float | None) -> str:
    accuracy = UNKNOWN if row.accuracy is None else _percent(row.accuracy)
    spread = "" if deviation is None else f" \N{PLUS-MINUS SIGN} {_percent(deviation)}"
    return f"{accuracy}{spread}"


def _widths(run: Run) -> str:
    family = run.family
    if family is None:
        return ""
    columns = [
        Column("Channel group", number=False),
        Column("Channels"),
        *(Column(one.name, "active") for one in family.subnetworks),
    ]
    active = [active_groups(family, one) for one in family.subnetworks]
    rows = [_group(family, index, active) for index in sorted(active[0])]
    return section(
        "Widths",
        paragraph(
            "A subnetwork runs the first channels of each group. A group is named after the layer that makes it; "
            "layers that must share their channels share a group."
        ),
        table("Active channels of every channel group", columns, rows),
    )


def _group(family: Family, index: int, active: Sequence[frozenset[int]]) -> list[Content]:
    group = family.graph.groups[index]
    widths: list[Content] = [
        with_share(str(one.widths[index]), one.widths[index] / group.size) if index in running else NOT_RUN
        for one, running in zip(family.subnetworks, active, strict=True)
    ]
    return [group.name, str(group.size), *widths]


def _importance(run: Run, plots: Sequence[Plot]) -> str:
    if not plots:
        return ""
    method = f"{run.importance_method} importance" if run.importance_method else "importance"
    text = f"Channels of each group in their order by {method}. Lines are the widths of the subnetworks."
    return section("Importance of channels", paragraph(text), _grid(plots))


def _search(run: Run) -> str:
    searched = [one for one in run.family.subnetworks if one.solution is not None] if run.family else []
    if not searched:
        return ""
    columns = [
        Column("Subnetwork", number=False),
        Column("Budget"),
        Column("Value", "importance kept"),
        Column("Bound", "proven"),
        Column("Gap", "to the bound"),
        Column("Time", "seconds"),
    ]
    rows = [[one.name, *_solution(one.solution)] for one in searched if one.solution is not None]
    return section(
        "Search",
        table("How each subnetwork was found", columns, rows),
        paragraph(
            "No subnetwork within the budget can have a larger value than the bound; a gap of 0 proves the best."
        ),
    )


def _solution(solution: Solution) -> list[Content]:
    return [
        with_note(f"{solution.budget:,.0f}", solution.metric),
        f"{solution.value:.4f}",
        f"{solution.bound:.4f}",
        f"{solution.gap:.2%}",
        f"{solution.seconds:.3f}",
    ]


def _training(run: Run, plots: Sequence[Plot]) -> str:
    if not run.phases:
        return ""
    text = (
        "Accuracies on the validation split while the shared weights change, with moving statistics; "
        "epoch 0 is the state before training. Final statistics are measured afterwards."
    )
    return section("Training", paragraph(text), _grid(plots) if plots else "", *map(_epochs, run.phases))


def _epochs(phase: Phase) -> str:
    columns = [Column("Epoch"), Column("Loss"), *(Column(name) for name in phase.accuracy)]
    rows: list[list[Content]] = [
        [str(epoch), f"{loss:.4f}", *(_percent(values[index]) for values in phase.accuracy.values())]
        for index, (epoch, loss) in enumerate(zip(phase.epochs, phase.loss, strict=True))
    ]
    return table(f"Validation accuracy after each epoch of {phase.name}", columns, rows)


def _trace(run: Run, plots: Sequence[Plot]) -> str:
    if not plots:
        return ""
    labelled = [record for record in run.trace if record.label is not None]
    right = sum(record.predicted == record.label for record in labelled)
    answers = f" {right} of {len(labelled)} answers were right." if labelled else ""
    board = f" on {run.counts.board}" if run.counts else ""
    text = f"The budget was changed over the serial line while inferences ran{board}.{answers}"
    return section("Budget trace", paragraph(text), "".join(plot.to_html() for plot in plots))


def _verification(run: Run) -> str:
    if not run.checks:
        return ""
    columns = [
        Column("Subnetwork", number=False),
        Column("Samples"),
        Column("Result", number=False),
        Column("Detail", number=False),
    ]
    held = sum(check.passed for check in run.checks)
    tables = [
        table(what, columns, [_check(check) for check in run.checks if check.what == what])
        for what in dict.fromkeys(check.what for check in run.checks)
    ]
    return section("Verification", paragraph(f"{held} of {len(run.checks)} comparisons hold."), *tables)


def _check(check: Check) -> list[Content]:
    result = "holds" if check.passed else Markup('<span class="failed">FAILED</span>')
    return [check.subnetwork, f"{check.samples:,}", result, check.detail]


def _reproduction(run: Run) -> str:
    columns = [Column("Setting", number=False), Column("Value", number=False)]
    tables = [
        table(caption, columns, list(_flat(settings)))
        for caption, settings in (("What was asked for", run.request), ("What the run depends on", run.settings))
        if settings
    ]
    return section(
        "How to reproduce",
        paragraph("The same settings and data give the same file with the same release of the program."),
        *tables,
        paragraph(Markup(f"SHA-256 of the file: {code(run.sha256).html}")),
    )


def _flat(settings: Mapping[str, Any]) -> Iterator[list[Content]]:
    """Rows of name and value; a group of settings gives its members."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value)
        else:
            yield [SETTING_NAMES.get(name, name), code(_setting(value))]


def _setting(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_setting(one) for one in value) or "none"
    return "none" if value is None else str(value)


def _grid(plots: Sequence[Plot]) -> str:
    return f'<div class="plots">\n{"".join(plot.to_html() for plot in plots)}</div>\n'


def _shape(shape: Sequence[int]) -> str:
    return " \N{MULTIPLICATION SIGN} ".join(str(size) for size in shape)


def _percent(share: float) -> str:
    return f"{share:.1%}"
