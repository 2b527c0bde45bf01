"""Pictures of a run."""

import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, groupby, pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from reds.files import write_atomically
from reds.inspecting import ModelReport, SubnetworkReport
from reds_bench.scenario import Record

WIDTH_COLOR, EXIT_COLOR, BUDGET_COLOR, WRONG_COLOR = "#1f6feb", "#d9730d", "#57606a", "#cf222e"
GRID_COLOR, PAGE_COLOR = "#d0d7de", "#ffffff"
SERIES_COLORS = (WIDTH_COLOR, EXIT_COLOR, "#1a7f37", "#8250df", WRONG_COLOR, "#9a6700", BUDGET_COLOR)
RIVAL_LOOKS = (
    ("^", "#1a7f37"),
    ("s", "#8250df"),
    ("v", "#9a6700"),
    ("D", BUDGET_COLOR),
    ("P", WRONG_COLOR),
    ("X", "#bf3989"),
)
"""Marker and color."""
SERIES_LINES = ("-", "--", "-.", ":")

SMALLEST_RANGE = 3.0
"""Percentage points of accuracy that a plot shows at least."""

POINT_RADIUS = 4
LABEL_GAP = 2
LINE_WEIGHT, LABEL_WEIGHT = 2, 20
"""How much worse it is to hide a piece of the file's own lines, or another label, than a piece of a rival's line."""
LABEL_PLACES = (
    (0, 6, "center", "bottom"),
    (0, -6, "center", "top"),
    (7, 0, "left", "center"),
    (-7, 0, "right", "center"),
    (6, 7, "left", "bottom"),
    (-6, 7, "right", "bottom"),
    (6, -7, "left", "top"),
    (-6, -7, "right", "top"),
    (0, 24, "center", "bottom"),
    (0, -24, "center", "top"),
    (-28, -22, "right", "top"),
    (28, 22, "left", "bottom"),
)
"""Where a label may stand, best first: offset from its point in typographic points, and alignment."""


@dataclass(frozen=True)
class Cost:
    """What a subnetwork needs, to be drawn against its accuracy."""

    label: str
    """With the unit, such as "flash (KiB)"."""
    of: Callable[[SubnetworkReport], float | None]
    """In that unit; None where it is not known."""


@dataclass(frozen=True)
class Rival:
    """Subnetworks that were made in another way, to be drawn beside a file's own."""

    name: str
    rows: tuple[SubnetworkReport, ...]
    deviations: tuple[float | None, ...]
    """Of each one's accuracy; None where it was measured once."""
    one_line: bool = False
    """Whether its exits are connected with its widths."""


def macs_cost(report: ModelReport) -> Cost:
    """Multiply-accumulates of one inference, in a unit that suits the network."""
    divisor, unit = _scale(max(row.macs for row in report.subnetworks))
    return Cost(f"multiply-accumulates{unit}", lambda row: row.macs / divisor)


def instructions_cost(report: ModelReport, target: str) -> Cost:
    """Instructions of one inference on a target, in a unit that suits the network."""
    known = [row.targets[target] for row in report.subnetworks if target in row.targets]
    divisor, unit = _scale(max(one.instructions for one in known))
    kind = "measured" if all(one.measured for one in known) else "estimated"

    def instructions(row: SubnetworkReport) -> float | None:
        return row.targets[target].instructions / divisor if target in row.targets else None

    return Cost(f"{target} {known[0].unit}{unit}, {kind}", instructions)


def flash_cost() -> Cost:
    """Bytes of the file that an inference reads."""
    return Cost("flash (KiB)", lambda row: row.flash_bytes / 1024)


def arena_cost() -> Cost:
    """Bytes of memory that an inference needs."""
    return Cost("arena (KiB)", lambda row: row.arena_bytes / 1024)


def plot_run(report: ModelReport, records: Sequence[Record], path: Path) -> None:
    """Draws accuracy against multiply-accumulates, and the budget trace, into one PNG.

    Args:
        report: the file's table, with measured accuracies.
        records: what the board did in the budget trace.
        path: the PNG to write.
    """
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    left.set_title("One file, several subnetworks", loc="left", fontsize=10)
    right.set_title("The budget changes while it runs", loc="left", fontsize=10)
    draw_trace(right, report, records)
    draw_accuracy(left, report, macs_cost(report))
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=130)
    write_atomically(path, stream.getvalue())


def draw_accuracy(axes: Axes, report: ModelReport, cost: Cost, rivals: Sequence[Rival] = ()) -> None:
    """Draws accuracy against a cost: the widths connected, the exits as squares, and what they are compared with.

    Args:
        axes: where to draw. The figure must have its other contents already, for labels are placed by what is there.
        report: the file's table; subnetworks without a measured accuracy are left out.
        cost: the horizontal axis.
        rivals: subnetworks made in other ways; their exits are crosses, unless all are on one line.
    """
    own_exit = report.subnetworks[0].exit
    points = list(_points(report.subnetworks, cost))
    widths = sorted((point for point in points if point.row.exit == own_exit), key=lambda point: point.row.macs)
    exits = [point for point in points if point.row.exit != own_exit]
    for chosen, style, color, label in (
        (widths, "o-", WIDTH_COLOR, "narrower"),
        (exits, "s", EXIT_COLOR, "shallower"),
    ):
        if chosen:
            axes.plot([one.x for one in chosen], [one.y for one in chosen], style, color=color, label=label, zorder=3)
    own = axes.get_lines()
    for rival, look in zip(rivals, cycle(RIVAL_LOOKS), strict=False):
        _draw_rival(axes, rival, cost, look)
    axes.margins(0.3, 0.35)
    _show_points_of_accuracy(axes)
    axes.set(xlabel=cost.label, ylabel="test accuracy in libreds (%)")
    if exits or rivals:
        _legend_below(axes)
    axes.grid(color=GRID_COLOR)
    _label_points(axes, points, own)


def _draw_rival(axes: Axes, rival: Rival, cost: Cost, look: tuple[str, str]) -> None:
    """Draws the widths of a rival connected and its exits as crosses, or all as one line, with bars for deviations."""
    marker, color = look
    own_exit = rival.rows[0].exit
    points = sorted(_points(rival.rows, cost), key=lambda point: point.row.macs)
    for inside, style, label in ((True, f"{marker}:", rival.name), (False, "x", None)):
        chosen = [point for point in points if (rival.one_line or point.row.exit == own_exit) == inside]
        if chosen:
            x, y = [one.x for one in chosen], [one.y for one in chosen]
            axes.plot(x, y, style, color=color, label=label, markersize=4, linewidth=1)
    spreads = {row.id: deviation for row, deviation in zip(rival.rows, rival.deviations, strict=True)}
    for point in points:
        spread = spreads[point.row.id]
        if spread:
            axes.errorbar(point.x, point.y, 100 * spread, fmt="none", color=color, linewidth=1, capsize=2)


def draw_importance(axes: Axes, importance: NDArray[np.float64], widths: Sequence[tuple[str, int]]) -> None:
    """Draws a channel group's importance, channel by channel, and where subnetworks cut it.

    Args:
        axes: where to draw.
        importance: of each channel, largest first.
        widths: name and width of each subnetwork, widest first.
    """
    edges = np.arange(len(importance) + 1) + 0.5
    axes.stairs(importance, edges, fill=True, color=WIDTH_COLOR, alpha=0.15)
    axes.stairs(importance, edges, color=WIDTH_COLOR, linewidth=1.5)
    cuts = [(width, [name for name, _ in same]) for width, same in groupby(widths, key=lambda one: one[1])]
    for index, (width, names) in enumerate(cuts):
        height = 0.95 - 0.5 * index / len(cuts)
        axes.axvline(width + 0.5, ymax=height, color=BUDGET_COLOR, linestyle="--", linewidth=1)
        right = width > len(importance) / 2
        axes.annotate(
            f"{names[0] if len(names) == 1 else f'{names[0]} to {names[-1]}'}: {width}",
            (width + 0.5, height),
            xycoords=("data", "axes fraction"),
            xytext=(-4 if right else 4, 0),
            textcoords="offset points",
            ha="right" if right else "left",
            va="center",
            fontsize=9,
            bbox={"facecolor": PAGE_COLOR, "edgecolor": "none", "pad": 0.5},
        )
    axes.set_xlim(0.5, len(importance) + 1)
    axes.set_ylim(bottom=0)
    axes.margins(y=0.1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, steps=(1, 2, 5, 10)))
    axes.set(xlabel="channel, by falling importance", ylabel="importance")
    axes.grid(color=GRID_COLOR)


def draw_validation(axes: Axes, epochs: Sequence[int], accuracy: Mapping[str, Sequence[float]]) -> None:
    """Draws the validation accuracy of each subnetwork against the epoch.

    Args:
        axes: where to draw.
        epochs: numbers of the epochs; 0 is before training.
        accuracy: per subnetwork its accuracy after each of them, in [0, 1].
    """
    for index, (name, values) in enumerate(accuracy.items()):
        color = SERIES_COLORS[index % len(SERIES_COLORS)]
        line = SERIES_LINES[index % len(SERIES_LINES)]
        axes.plot(epochs, [100 * value for value in values], line, marker=".", color=color, label=name)
    _epoch_axes(axes, "validation accuracy (%)")
    _legend_below(axes)


def draw_loss(axes: Axes, epochs: Sequence[int], loss: Sequence[float]) -> None:
    """Draws the training loss against the epoch."""
    axes.plot(epochs, loss, marker=".", color=WIDTH_COLOR)
    _epoch_axes(axes, "training loss")


def draw_trace(axes: Axes, report: ModelReport, records: Sequence[Record]) -> None:
    """Draws a changing budget of multiply-accumulates and what the device ran under it.

    Args:
        axes: where to draw.
        report: the table of the file that ran.
        records: one per inference.
    """
    inferences = range(len(records))
    full = report.subnetworks[0].macs
    divisor, unit = _scale(full)
    macs = [report.subnetworks[record.subnetwork].macs / divisor for record in records]
    budgets = [(record.budget.macs or full) / divisor for record in records]
    axes.step(inferences, budgets, where="mid", color=BUDGET_COLOR, alpha=0.35, linewidth=7, label="budget")
    axes.step(inferences, macs, where="mid", color=WIDTH_COLOR, label="subnetwork that the device picked")
    for right_answer, marker, color, label in (
        (True, ".", WIDTH_COLOR, "right answer"),
        (False, "x", WRONG_COLOR, "wrong answer"),
    ):
        chosen = [
            i
            for i, record in enumerate(records)
            if record.label is not None and (record.predicted == record.label) == right_answer
        ]
        if chosen:
            axes.plot(chosen, [macs[i] for i in chosen], marker, color=color, label=label, markeredgewidth=2)
    axes.set_ylim(0, 1.08 * max((*budgets, *macs), default=1.0))
    axes.set(xlabel="inference on the device", ylabel=f"multiply-accumulates{unit}")
    _legend_below(axes)
    axes.grid(color=GRID_COLOR)


def _show_points_of_accuracy(axes: Axes) -> None:
    """Widens a vertical range of less than what chance may change on a test split."""
    low, high = axes.get_ylim()
    lacking = max(0.0, SMALLEST_RANGE - (high - low))
    axes.set_ylim(low - lacking / 2, high + lacking / 2)


def _scale(largest: float) -> tuple[float, str]:
    """Divisor and name of the unit in which a number reads well."""
    if largest >= 1e6:
        return 1e6, " (millions)"
    return (1e3, " (thousands)") if largest >= 1e4 else (1.0, "")


def _epoch_axes(axes: Axes, label: str) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel=label)
    axes.grid(color=GRID_COLOR)


def _legend_below(axes: Axes) -> None:
    """A legend that cannot hide data."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False, fontsize=9)


@dataclass(frozen=True)
class _Point:
    """A subnetwork's place in a plot."""

    row: SubnetworkReport
    x: float
    y: float

    @property
    def label(self) -> str:
        return f"{self.row.name}\n{self.y:.1f}%"


def _points(rows: Iterable[SubnetworkReport], cost: Cost) -> Iterator[_Point]:
    for row in rows:
        x = cost.of(row)
        if x is not None and row.accuracy is not None:
            yield _Point(row, x, 100 * row.accuracy)


def _figure_of(axes: Axes) -> Figure:
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    return figure


def _drawn(axes: Axes, lines: Iterable[Line2D]) -> list[Bbox]:
    """Boxes, in pixels, that cover lines and markers of a plot."""
    radius = POINT_RADIUS * _figure_of(axes).dpi / 72
    centers = []
    for line in lines:
        corners = axes.transData.transform(line.get_xydata())
        centers.append(corners)
        for start, end in pairwise(corners):
            count = max(2, int(np.hypot(*(end - start)) / radius))
            centers.append(np.linspace(start, end, count))
    return [Bbox([center - radius / 2, center + radius / 2]) for center in np.concatenate(centers)] if centers else []


def _label_points(axes: Axes, points: Sequence[_Point], lines: Iterable[Line2D]) -> None:
    """Writes each point's label where it hides none of the lines, no marker and no other label, if there is a place."""
    figure = _figure_of(axes)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    own, everything = _drawn(axes, lines), _drawn(axes, axes.get_lines())
    labels: list[Bbox] = []
    frame = axes.get_window_extent(renderer)
    for point in points:
        best, fewest = None, math.inf
        for x, y, horizontal, vertical in LABEL_PLACES:
            label = axes.annotate(
                point.label,
                (point.x, point.y),
                xytext=(x, y),
                textcoords="offset points",
                ha=horizontal,
                va=vertical,
                fontsize=8,
                linespacing=1.1,
                bbox={"facecolor": PAGE_COLOR, "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
            )
            label.set_in_layout(False)
            box = label.get_window_extent(renderer).padded(LABEL_GAP)
            hidden = LINE_WEIGHT * box.count_overlaps(own) + box.count_overlaps(everything)
            hidden += LABEL_WEIGHT * box.count_overlaps(labels)
            hidden += 2 * (frame.x0 > box.x0 or frame.x1 < box.x1)
            hidden += 2 * (frame.y0 > box.y0 or frame.y1 < box.y1)
            if hidden >= fewest:
                label.remove()
                continue
            if best is not None:
                best.remove()
            best, fewest = label, hidden
        assert best is not None
        labels.append(best.get_window_extent(renderer))
