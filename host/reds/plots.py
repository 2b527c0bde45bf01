"""Pictures of a run."""

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reds.files import write_atomically
from reds.inspecting import ModelReport
from reds_bench.scenario import Record

WIDTH_COLOR, EXIT_COLOR, BUDGET_COLOR, WRONG_COLOR = "#1f6feb", "#d9730d", "#57606a", "#cf222e"
MILLION = 1e6


def plot_run(report: ModelReport, records: Sequence[Record], path: Path) -> None:
    """Draws accuracy against multiply-accumulates, and the budget trace, into one PNG.

    Args:
        report: the file's table, with measured accuracies.
        records: what the board did in the budget trace.
        path: the PNG to write.
    """
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    _draw_accuracy(left, report)
    _draw_trace(right, report, records)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=130)
    write_atomically(path, stream.getvalue())


def _draw_accuracy(axes: Axes, report: ModelReport) -> None:
    own_exit = report.subnetworks[0].exit
    widths = sorted((row for row in report.subnetworks if row.exit == own_exit), key=lambda row: row.macs)
    exits = [row for row in report.subnetworks if row.exit != own_exit]
    for rows, style, color, label in (
        (widths, "o-", WIDTH_COLOR, "narrower"),
        (exits, "s", EXIT_COLOR, "shallower"),
    ):
        points = [(row.macs / MILLION, 100 * row.accuracy) for row in rows if row.accuracy is not None]
        axes.plot([x for x, _ in points], [y for _, y in points], style, color=color, label=label)
    for row in report.subnetworks:
        if row.accuracy is not None:
            axes.annotate(
                f"{row.name}\n{row.accuracy:.1%}",
                (row.macs / MILLION, 100 * row.accuracy),
                xytext=(0, -24),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )
    axes.margins(0.12, 0.25)
    axes.set(xlabel="multiply-accumulates (millions)", ylabel="test accuracy in libreds (%)")
    axes.set_title("One file, several subnetworks", loc="left", fontsize=10)
    axes.legend(loc="upper left", frameon=False)
    axes.grid(alpha=0.3)


def _draw_trace(axes: Axes, report: ModelReport, records: Sequence[Record]) -> None:
    inferences = range(len(records))
    macs = [report.subnetworks[record.subnetwork].macs / MILLION for record in records]
    full = report.subnetworks[0].macs
    budgets = [(record.budget.macs or full) / MILLION for record in records]
    axes.step(inferences, budgets, where="mid", color=BUDGET_COLOR, linestyle="--", label="budget")
    axes.step(inferences, macs, where="mid", color=WIDTH_COLOR, label="subnetwork that the device picked")
    for right_answer, marker, color, label in (
        (True, "o", WIDTH_COLOR, "right answer"),
        (False, "x", WRONG_COLOR, "wrong answer"),
    ):
        chosen = [i for i in inferences if (records[i].predicted == records[i].label) == right_answer]
        axes.plot(chosen, [macs[i] for i in chosen], marker, color=color, label=label, linestyle="none")
    axes.set_ylim(bottom=0)
    axes.set(xlabel="inference on the device", ylabel="multiply-accumulates (millions)")
    axes.set_title("The budget changes while it runs", loc="left", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    axes.grid(alpha=0.3)
