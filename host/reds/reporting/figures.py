"""The plots of a page: drawn once, written as inline SVG and as PNG."""

import io
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reds import plots
from reds.plots import Rival
from reds.reporting.run_folder import Phase, Run, active_groups

SMALL, TALL, WIDE, LARGE = (4.2, 3.3), (4.2, 4.4), (8.4, 3.9), (8.4, 5.2)
"""Width and height in inches."""

INK = "#24292f"
VARIABLES = {
    INK: "--ink",
    plots.WIDTH_COLOR: "--blue",
    plots.EXIT_COLOR: "--orange",
    plots.BUDGET_COLOR: "--muted",
    plots.WRONG_COLOR: "--red",
    plots.GRID_COLOR: "--rule",
    plots.PAGE_COLOR: "--page",
    "#1a7f37": "--green",
    "#8250df": "--purple",
    "#9a6700": "--brown",
    "#bf3989": "--pink",
}
"""The style sheet's variable for each color of a plot, so that one drawing suits light and dark."""

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "reds",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": plots.BUDGET_COLOR,
    "xtick.color": INK,
    "ytick.color": INK,
    "font.size": 10,
}

RIVAL_NAMES = {
    "alone": "each alone",
    "uniform": "uniform widths",
    "magnitude": "order by L1 norm",
    "random": "random order",
    "sparse": "sparse weights",
    "from_scratch": "jointly from scratch",
}
"""What the page calls a kind of baseline."""

FAMILY_NAMES = {
    "width": "width",
    "depth": "depth",
    "joint": "width and depth",
    "width_labels": "width, no distillation",
    "depth_labels": "depth, no distillation",
    "joint_labels": "width and depth, no distillation",
}
"""What the page calls a family."""

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
REFERENCE = re.compile(r"url\(#|^#")


@dataclass(frozen=True)
class Plot:
    """One picture."""

    name: str
    """Of its file, without a suffix; unique on the page."""
    caption: str
    figure: Figure
    wide: bool = False

    def to_svg(self) -> str:
        """The picture as an SVG element for an HTML page; its colors are the style sheet's variables."""
        stream = io.BytesIO()
        nobody = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        with _own_style():
            self.figure.savefig(stream, format="svg", transparent=True, metadata=nobody)
        return _inline(stream.getvalue(), self.name, self.caption)

    def to_png(self) -> bytes:
        """The picture on white."""
        stream = io.BytesIO()
        with _own_style():
            self.figure.savefig(stream, format="png", dpi=160, metadata={"Software": None})
        return stream.getvalue()

    def to_html(self) -> str:
        """The picture with its caption."""
        kind = ' class="wide" tabindex="0"' if self.wide else ""
        return f"<figure{kind}>\n{self.to_svg()}\n<figcaption>{escape(self.caption)}</figcaption>\n</figure>\n"


@contextmanager
def _own_style() -> Iterator[None]:
    """The same look whatever the user has set."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def cost_plots(run: Run) -> tuple[Plot, ...]:
    """Accuracy against each cost; none where no accuracy was measured."""
    model = run.model
    rivals = [Rival(RIVAL_NAMES[one.kind], one.subnetworks, one.deviations) for one in run.baselines]
    if all(row.accuracy is None for row in model.subnetworks):
        return ()
    costs = [("macs", "multiply-accumulates", plots.macs_cost(model))]
    units = {name: counted.unit for row in model.subnetworks for name, counted in row.targets.items()}
    for target in sorted(units):
        costs.append((_file_name(target), f"{units[target]} on {target}", plots.instructions_cost(model, target)))
    costs += [("flash", "flash that an inference reads", plots.flash_cost()), ("arena", "arena", plots.arena_cost())]
    return tuple(
        _plot(
            f"accuracy-{name}",
            f"Accuracy against {of}",
            partial(plots.draw_accuracy, report=model, cost=cost, rivals=rivals),
            TALL if rivals else SMALL,
        )
        for name, of, cost in costs
    )


def family_plots(run: Run) -> tuple[Plot, ...]:
    """Accuracy of the run and of each family against multiply-accumulates; none where there is no family."""
    if not run.families:
        return ()
    rivals = [Rival(FAMILY_NAMES[one.kind], one.subnetworks, one.deviations, one_line=True) for one in run.families]
    draw = partial(plots.draw_accuracy, report=run.model, cost=plots.macs_cost(run.model), rivals=rivals)
    return (_plot("accuracy-families", "Accuracy of the families against multiply-accumulates", draw, LARGE),)


def importance_plots(run: Run) -> tuple[Plot, ...]:
    """One per channel group, with the widths that were chosen."""
    return tuple(_importance_plots(run))


def training_plots(run: Run) -> tuple[Plot, ...]:
    """Accuracy and loss of each phase that trained."""
    return tuple(plot for phase in run.phases if len(phase.epochs) > 1 for plot in _training_plots(phase))


def trace_plot(run: Run) -> Plot:
    """The budget and what the device ran."""
    caption = f"Budget and choice during {len(run.trace)} inferences"
    return _plot("trace", caption, partial(plots.draw_trace, report=run.model, records=run.trace), WIDE)


def _importance_plots(run: Run) -> Iterator[Plot]:
    family = run.family
    if family is None:
        return
    own = [(one, active_groups(family, one)) for one in family.subnetworks if one.exit == 0]
    for index in sorted(active_groups(family, family.subnetworks[0])):
        group = family.graph.groups[index]
        running = ((one.name, one.widths[index]) for one, active in own if index in active)
        widths = sorted(running, key=lambda named: -named[1])
        yield _plot(
            f"importance-{index}-{_file_name(group.name)}",
            f"{group.name}: {group.size} channels",
            partial(plots.draw_importance, importance=family.importance[index], widths=widths),
        )


def _training_plots(phase: Phase) -> Iterator[Plot]:
    name = _file_name(phase.name)
    yield _plot(
        f"validation-{name}",
        f"Validation accuracy while training {phase.name}",
        partial(plots.draw_validation, epochs=phase.epochs, accuracy=phase.accuracy),
    )
    # The loss of epoch 0 is that of the validation split; with one more epoch there is no curve yet.
    if len(phase.epochs) > 2:
        yield _plot(
            f"loss-{name}",
            f"Loss while training {phase.name}",
            partial(plots.draw_loss, epochs=phase.epochs[1:], loss=phase.loss[1:]),
        )


def _plot(name: str, caption: str, draw: Callable[[Axes], None], size: tuple[float, float] = SMALL) -> Plot:
    with _own_style():
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
    return Plot(name, caption, figure, wide=size in (WIDE, LARGE))


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)


def _inline(document: bytes, prefix: str, caption: str) -> str:
    """Makes an SVG document an element of an HTML page whose names clash with no other's."""
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    root = ElementTree.fromstring(document)
    _remove_rules_for_the_whole_page(root)
    for element in root.iter():
        for name, value in element.attrib.items():
            if name == "id":
                element.set(name, f"{prefix}.{value}")
            else:
                element.set(name, REFERENCE.sub(lambda match: f"{match.group()}{prefix}.", value))
    for size in ("width", "height"):
        root.attrib.pop(size)
    root.set("role", "img")
    root.set("aria-label", caption)
    return _with_variables(ElementTree.tostring(root, encoding="unicode"))


def _remove_rules_for_the_whole_page(root: ElementTree.Element) -> None:
    """A style element inside an inline SVG holds for all of the page; the page's own sheet says the same."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}style", f"{{{SVG}}}metadata"):
                parent.remove(child)


def _with_variables(svg: str) -> str:
    for color, variable in VARIABLES.items():
        svg = svg.replace(f": {color}", f": var({variable})")
    return svg
