"""The page about a run: what it says, what it leaves out, and that it needs nothing but itself."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import matplotlib
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from small_run import SETTINGS, small_dataset, small_model

from reds import plots, pruning
from reds.errors import UsageError
from reds.graph import Family
from reds.inspecting import ModelReport, SubnetworkReport, TargetReport, inspect
from reds.reporting import report
from reds.reporting.page import make_page
from reds.reporting.run_folder import read_run
from reds.run_folder import BASELINE_KINDS, FAMILY_KINDS
from reds.store import load, save

SECTIONS = (
    "Subnetworks",
    "Accuracy against cost",
    "Widths",
    "Importance of channels",
    "Search",
    "Training",
    "Budget trace",
    "Verification",
    "How to reproduce",
)
VOID = {"meta", "link", "img", "br", "hr", "input"}
CHECK = {"proof": 2, "what": "libreds = stock", "samples": 3, "passed": True, "detail": "0 units"}


@dataclass
class Table:
    """A table's cells as text, the heading row first."""

    rows: list[list[str]] = field(default_factory=list)

    def column(self, title: str) -> list[str]:
        """The cells under a heading."""
        index = self.rows[0].index(title)
        return [row[index] for row in self.rows[1:]]


class Reader(HTMLParser):
    """Reads a page strictly: every element must be closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.tables: list[Table] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tags: set[str] = set()
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def table(self, column: str) -> "Table":
        """The first table with a column."""
        return next(table for table in self.tables if column in table.rows[0])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)
        if tag not in VOID:
            self._open.append(tag)
        if tag == "h2":
            self.headings.append("")
        elif tag == "table":
            self.tables.append(Table())
        elif tag == "tr":
            self.tables[-1].rows.append([])
        elif tag in ("td", "th"):
            self.tables[-1].rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "h2" in self._open:
            self.headings[-1] += data
        if {"td", "th"} & set(self._open):
            gap = " " if self._open[-1] == "small" else ""
            self.tables[-1].rows[-1][-1] += gap + data

    def _note(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name in ("href", "xlink:href", "src", "srcset", "data", "action"):
                self.references.append(value or "")
            self.references += re.findall(r"url\(([^)]*)\)", value or "")


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all that can be recorded; one comparison of its verification failed. Not to be changed."""
    folder = tmp_path_factory.mktemp("complete")
    pruning.prune(small_model(), small_dataset(), folder, replace(SETTINGS, epochs=2))
    table = {
        "request": {"dataset": "pictures", "board": "qemu:cortex-m4", "seed": 0},
        "sha256": hashlib.sha256((folder / "model.tflite").read_bytes()).hexdigest(),
        "switch_instructions": 27,
        "budget_instructions": 79,
        "open_instructions": 565_217,
        "verification": {
            "checks": [{**CHECK, "subnetwork": "100%"}, {**CHECK, "subnetwork": "30%", "passed": False}],
        },
    }
    budget = {"macs": 3000, "arena_bytes": None, "microseconds": None}
    record = {"step": 0, "sample": 0, "budget": budget, "subnetwork": 1, "microseconds": 9, "instructions": None}
    trace = [{**record, "predicted": 0, "label": 0}, {**record, "predicted": 1, "label": 0}]
    (folder / "table.json").write_text(json.dumps(table))
    (folder / "trace.json").write_text(json.dumps(trace))
    return folder


@pytest.fixture(scope="module")
def html(complete: Path) -> str:
    """Its page."""
    return make_page(read_run(complete)).html


@pytest.fixture
def folder(complete: Path, tmp_path: Path) -> Path:
    """The same run, to be changed."""
    return Path(shutil.copytree(complete, tmp_path / "run"))


@pytest.fixture
def page(folder: Path) -> Callable[[], str]:
    """Writes the page of the changed run and reads it."""

    def write() -> str:
        return report(folder, folder / "report.html").page.read_text(encoding="utf-8")

    return write


def test_the_sections_in_their_order(html: str) -> None:
    assert tuple(Reader(html).headings) == SECTIONS


def test_the_page_needs_nothing_but_itself(html: str) -> None:
    read = Reader(html)
    assert html.startswith("<!DOCTYPE html>")
    assert len(read.ids) == len(set(read.ids))
    assert read.references
    assert all(reference.startswith("#") and reference[1:] in read.ids for reference in read.references)
    assert not read.tags & {"script", "link", "iframe", "img", "object"}
    assert "@import" not in html
    assert set(re.findall(r"https?://[^\"]*", html)) == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_every_color_of_a_plot_follows_the_theme(html: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(drawings) > 5
    assert not [color for svg in drawings for color in re.findall(r"(?:fill|stroke): #\w+", svg)]


def test_the_table_is_that_of_the_file(html: str, complete: Path) -> None:
    rows = inspect(complete / "model.tflite").subnetworks
    table = Reader(html).tables[0]
    assert table.column("Subnetwork") == [f"{row.name} id {row.id}" for row in rows]
    assert table.column("MACs per inference") == [f"{row.macs:,}" for row in rows]
    assert table.column("MACs of the full network") == [f"{row.macs / rows[0].macs:.1%}" for row in rows]
    assert table.column("Parameters") == [f"{row.parameters:,}" for row in rows]
    assert table.column("Flash bytes") == [f"{row.flash_bytes:,}" for row in rows]
    assert table.column("Arena bytes") == [f"{row.arena_bytes:,}" for row in rows]
    assert table.column("Accuracy test split") == [f"{row.accuracy:.1%}" for row in rows]


def test_instructions_say_how_they_were_come_by(complete: Path) -> None:
    run = read_run(complete)
    targets = {"cortex-m4": TargetReport(1_234_567, True), "cortex-m7": TargetReport(7_654_321, False)}
    rows = tuple(replace(row, targets=targets) for row in run.model.subnetworks)
    table = Reader(make_page(replace(run, model=replace(run.model, subnetworks=rows))).html).tables[0]
    assert set(table.column("cortex-m4 instructions")) == {"1,234,567 measured"}
    assert set(table.column("cortex-m7 instructions")) == {"7,654,321 estimated"}


def test_widths_and_what_an_exit_leaves_out(html: str, complete: Path) -> None:
    family = load(complete / "family.npz", Family)
    table = Reader(html).tables[1]
    for one in family.subnetworks[:-1]:
        assert table.column(f"{one.name} active") == [str(width) for width in one.widths]
    assert table.column(f"{family.subnetworks[-1].name} active") == ["8", "not run"]


def test_the_search_with_its_proof(html: str, complete: Path) -> None:
    solutions = {one.name: one.solution for one in load(complete / "family.npz", Family).subnetworks if one.solution}
    table = Reader(html).tables[2]
    assert table.column("Subnetwork") == list(solutions)
    assert table.column("Budget") == [f"{one.budget:,.0f} {one.metric}" for one in solutions.values()]
    assert table.column("Bound proven") == [f"{one.bound:.4f}" for one in solutions.values()]
    assert table.column("Gap to the bound") == [f"{one.gap:.2%}" for one in solutions.values()]


def test_a_comparison_that_failed_is_not_hidden(html: str) -> None:
    assert "1 of 2 comparisons hold." in html
    assert Reader(html).table("Result").column("Result") == ["holds", "FAILED"]


def test_every_epoch_has_a_row(html: str, complete: Path) -> None:
    phase = read_run(complete).phases[0]
    table = Reader(html).table("Epoch")
    assert table.rows[0] == ["Epoch", "Loss", *phase.accuracy]
    assert table.column("Epoch") == [str(epoch) for epoch in phase.epochs]
    for name, values in phase.accuracy.items():
        assert table.column(name) == [f"{value:.1%}" for value in values]


def test_settings(html: str) -> None:
    settings = dict(Reader(html).tables[-1].rows[1:])
    assert settings["budgets"] == "0.3, 0.6"
    assert settings["multiple"] == "2"
    assert settings["max_arena"] == "none"


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        ("family.npz", {"Widths", "Importance of channels", "Search"}),
        ("ranked.npz", set()),
        ("epochs.json", {"Training"}),
        ("trace.json", {"Budget trace"}),
        ("table.json", {"Budget trace", "Verification"}),
        ("settings.json", set()),
    ],
)
def test_what_is_not_recorded_is_left_out(page: Callable[[], str], folder: Path, name: str, gone: set[str]) -> None:
    (folder / name).unlink()
    assert Reader(page()).headings == [title for title in SECTIONS if title not in gone]


def test_accuracy_is_left_out_where_it_was_not_measured(complete: Path) -> None:
    run = read_run(complete)
    rows = tuple(replace(row, accuracy=None) for row in run.model.subnetworks)
    read = Reader(make_page(replace(run, model=replace(run.model, subnetworks=rows))).html)
    assert "Accuracy against cost" not in read.headings
    assert set(read.tables[0].column("Accuracy test split")) == {"-"}


def test_what_was_recorded_about_another_file_is_left_out(page: Callable[[], str], folder: Path) -> None:
    table = json.loads((folder / "table.json").read_text())
    (folder / "table.json").write_text(json.dumps({**table, "sha256": "0" * 64}))
    html = page()
    assert not {"Budget trace", "Verification"} & set(Reader(html).headings)
    assert "565,217" not in html


def test_the_same_folder_gives_the_same_bytes_whatever_the_user_has_set(html: str, complete: Path) -> None:
    with matplotlib.rc_context({"text.color": "#123456", "font.size": 30, "axes.facecolor": "#654321"}):
        assert make_page(read_run(complete)).html == html


def test_names_are_text_not_markup(complete: Path) -> None:
    run = read_run(complete)
    name = "<script>a & $b$</script>"
    first, *others = run.model.subnetworks
    model = replace(run.model, name=name, subnetworks=(replace(first, name=name), *others))
    html = make_page(replace(run, model=model)).html
    assert "<script" not in html
    assert Reader(html).tables[0].column("Subnetwork")[0] == f"{name} id 0"


def test_plots_as_png(complete: Path, tmp_path: Path) -> None:
    written = report(complete, tmp_path / "r.html", tmp_path / "png")
    assert len(written.plots) == len(set(written.plots)) == written.page.read_text(encoding="utf-8").count("<svg")
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written.plots)
    assert {"accuracy-macs.png", "importance-0-conv.png", "trace.png"} <= {path.name for path in written.plots}


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir, Path.touch])
def test_a_folder_that_is_no_run(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "thing")
    with pytest.raises(UsageError, match=r"not a finished run.*reds prune"):
        report(tmp_path / "thing", tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("name", ["epochs.json", "trace.json", "table.json", "settings.json"])
@pytest.mark.parametrize("content", ["", "{", "7", '"text"', "\xff"])
def test_a_damaged_file_is_named(page: Callable[[], str], folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content, encoding="latin-1")
    with pytest.raises(UsageError, match=rf"{name}'.*damaged"):
        page()


@pytest.mark.parametrize("name", ["epochs.json", "trace.json"])
def test_a_list_of_foreign_things_is_named(page: Callable[[], str], folder: Path, name: str) -> None:
    (folder / name).write_text('[{"a": 1}]')
    with pytest.raises(UsageError, match=rf"{name}'.*damaged"):
        page()


def test_subnetworks_of_another_search(page: Callable[[], str], folder: Path) -> None:
    family = load(folder / "family.npz", Family)
    save(folder / "family.npz", replace(family, subnetworks=family.subnetworks[:2]))
    with pytest.raises(UsageError, match=r"other subnetworks than model\.tflite"):
        page()


def test_a_run_that_was_interrupted_records_every_epoch_once(tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=2, exits=())

    def stop(line: str) -> None:
        if "epoch 1/2" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pruning.prune(small_model(), small_dataset(), tmp_path, settings, stop)
    pruning.prune(small_model(), small_dataset(), tmp_path, settings)
    assert [phase.epochs for phase in read_run(tmp_path).phases] == [(0, 1, 2)]


def test_labels_of_close_points_do_not_hide_each_other() -> None:
    rows = tuple(
        SubnetworkReport(id, f"{name}", "output", (), 1000, 1, 1, 1, accuracy, 0.0, {})
        for id, (name, accuracy) in enumerate((("100%", 0.923), ("75%", 0.918), ("50%", 0.913), ("25%", 0.8)))
    )
    figure = Figure(figsize=(4, 3), layout="constrained")
    axes = figure.subplots()
    model = ModelReport("m", "int8", 1, "int8", (1,), "int8", (1,), rows)
    plots.draw_accuracy(axes, model, plots.macs_cost(model))
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [label.get_window_extent(renderer) for label in axes.texts]
    assert len(boxes) == len(rows)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_the_picture_of_a_demo(complete: Path, tmp_path: Path) -> None:
    run = read_run(complete)
    plots.plot_run(run.model, run.trace, tmp_path / "demo.png")
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")


# ---- Baselines ----------------------------------------------------------------------------------------------------


def add_baseline(folder: Path, kind: str, deviation: float | None = None) -> list[dict]:
    """Writes the table of a baseline with accuracies a little below the run's; returns its subnetworks."""
    table = inspect(folder / "model.tflite").as_dict()
    seeds = [0] if deviation is None else [0, 1]
    rows = [{**row, "accuracy": row["accuracy"] - 0.01, "deviation": deviation} for row in table["subnetworks"]]
    rows = [{**row, "accuracies": [row["accuracy"]] * len(seeds)} for row in rows]
    place = folder / "baselines" / kind
    (place / "seed-0").mkdir(parents=True)
    settings = json.loads((folder / "settings.json").read_text())
    (place / "seed-0" / "settings.json").write_text(json.dumps({"kind": kind, "run": settings}))
    content = {**table, "kind": kind, "seeds": seeds, "epochs": 7, "subnetworks": rows}
    (place / "table.json").write_text(json.dumps(content))
    return rows


def test_baselines_stand_beside_the_run(page: Callable[[], str], folder: Path) -> None:
    rows = add_baseline(folder, "uniform")
    add_baseline(folder, "alone")
    html = page()
    read = Reader(html)
    assert read.headings == [*SECTIONS[:2], "Baselines", *SECTIONS[2:]]
    table = read.tables[1]
    expected = [f"{row['accuracy']:.1%} {row['macs']:,}" for row in rows]
    assert table.column("Uniform widths 7 epochs") == table.column("Each alone 7 epochs") == expected
    own = [f"{row.accuracy:.1%} {row.macs:,}" for row in inspect(folder / "model.tflite").subnetworks]
    assert table.column("This run accuracy") == own
    plot = html[html.index('aria-label="Accuracy against flash') :].split("</svg>")[0]
    assert all(f">{name}<" in plot for name in ("narrower", "each alone", "uniform widths"))
    assert "Seed 0." in html


def test_deviations_over_seeds_are_told(page: Callable[[], str], folder: Path) -> None:
    add_baseline(folder, "random", deviation=0.025)
    html = page()
    assert all("\N{PLUS-MINUS SIGN} 2.5%" in cell for cell in Reader(html).tables[1].column("Random order 7 epochs"))
    assert "over the seeds 0, 1." in html


def test_a_baseline_of_an_earlier_run_is_left_out(page: Callable[[], str], folder: Path) -> None:
    add_baseline(folder, "uniform")
    settings = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps({**settings, "model": "another"}))
    assert "Baselines" not in Reader(page()).headings


@pytest.mark.parametrize("content", ["{", '{"kind": "uniform"}', "[]"])
def test_a_damaged_baseline_is_named(page: Callable[[], str], folder: Path, content: str) -> None:
    add_baseline(folder, "uniform")
    (folder / "baselines" / "uniform" / "table.json").write_text(content)
    with pytest.raises(UsageError, match=r"uniform.table\.json'.*damaged"):
        page()


def add_family(folder: Path, kind: str, *rows: tuple[str, str, int, float], seeds: int = 2) -> None:
    """Writes the table of a family of three seeds: name, exit, MACs and accuracy of each subnetwork, and how many seeds
    have it."""
    template = add_baseline(folder, kind, deviation=0.025)[0]
    path = folder / "baselines" / kind / "table.json"
    subnetworks = [
        {**template, "id": id, "name": name, "exit": exit, "macs": macs, "accuracy": accuracy}
        | {"accuracies": [accuracy] * seeds}
        for id, (name, exit, macs, accuracy) in enumerate(rows)
    ]
    table = json.loads(path.read_text())
    path.write_text(json.dumps({**table, "seeds": [0, 1, 2], "subnetworks": subnetworks}))


def test_families_are_placed_by_their_cost(page: Callable[[], str], folder: Path) -> None:
    full = inspect(folder / "model.tflite").subnetworks[0]
    add_family(folder, "joint", ("100%", "output", full.macs, 0.9), ("30%", "exit_conv, output", 7, 0.625))
    add_family(folder, "depth_labels", ("100%", "output", full.macs, 0.9), ("exit_conv", "exit_conv", 10**7, 0.5))
    html = page()
    read = Reader(html)
    assert read.headings == [*SECTIONS[:2], "Width, depth and both", *SECTIONS[2:]]
    table = read.table("Family")
    macs = [int(cell.replace(",", "")) for cell in table.column("MACs per inference")]
    assert macs == sorted(macs)
    assert len(macs) == len(inspect(folder / "model.tflite").subnetworks) + 4
    assert table.rows[1][:4] == ["Width and depth", "30%", "exit_conv, output", "7"]
    assert table.rows[1][5] == "62.5% \N{PLUS-MINUS SIGN} 2.5% 2 of 3 seeds"
    assert table.rows[-1][:3] == ["Depth, no distillation", "exit_conv", "exit_conv"]
    assert {"This run", "Width and depth", "Depth, no distillation"} == set(table.column("Family"))
    assert "over the seeds 0, 1, 2." in html
    plot = html[html.index('aria-label="Accuracy of the families') :].split("</svg>")[0]
    assert all(f">{name}<" in plot for name in ("width and depth", "depth, no distillation"))


def test_families_stand_in_no_table_of_the_runs_subnetworks(page: Callable[[], str], folder: Path) -> None:
    add_baseline(folder, "uniform")
    add_family(folder, "width", ("100%", "output", 5, 0.9))
    read = Reader(page())
    assert read.headings == [*SECTIONS[:2], "Baselines", "Width, depth and both", *SECTIONS[2:]]
    assert read.tables[1].rows[0] == ["Subnetwork", "This run accuracy", "Uniform widths 7 epochs"]


def test_exits_of_a_family_are_on_its_line(complete: Path) -> None:
    model = inspect(complete / "model.tflite")
    rival = plots.Rival("other", model.subnetworks, (None,) * len(model.subnetworks), one_line=True)
    axes = Figure().subplots()
    plots.draw_accuracy(axes, model, plots.macs_cost(model), [rival])
    line = next(line for line in axes.get_lines() if line.get_label() == "other")
    assert len(line.get_xdata()) == len(model.subnetworks)


def test_every_baseline_has_a_look_of_its_own() -> None:
    assert len(plots.RIVAL_LOOKS) >= max(len(BASELINE_KINDS), len(FAMILY_KINDS))
    assert len(set(plots.RIVAL_LOOKS)) == len(plots.RIVAL_LOOKS)


def test_a_rival_without_a_cost_is_not_drawn_against_it(complete: Path) -> None:
    rows = tuple(replace(row, targets={}) for row in inspect(complete / "model.tflite").subnetworks)
    model = inspect(complete / "model.tflite")
    counted = tuple(replace(row, targets={"cortex-m4": TargetReport(row.macs, True)}) for row in model.subnetworks)
    axes = Figure().subplots()
    model = replace(model, subnetworks=counted)
    rival = plots.Rival("other", rows, (None,) * len(rows))
    plots.draw_accuracy(axes, model, plots.instructions_cost(model, "cortex-m4"), [rival])
    assert "other" not in axes.get_legend_handles_labels()[1]
    plots.draw_accuracy(axes, model, plots.flash_cost(), [rival])
    assert "other" in axes.get_legend_handles_labels()[1]
