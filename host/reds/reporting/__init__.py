"""One page about a run, for people: `report` writes it."""

from dataclasses import dataclass
from pathlib import Path

from reds.files import write_atomically
from reds.reporting.page import make_page
from reds.reporting.run_folder import read_run

__all__ = ["WrittenReport", "report"]


@dataclass(frozen=True)
class WrittenReport:
    """Files that `report` wrote."""

    page: Path
    plots: tuple[Path, ...]


def report(folder: Path | str, path: Path | str, png: Path | str | None = None) -> WrittenReport:
    """Writes a run as one self-contained HTML page. The same folder gives the same bytes.

    Args:
        folder: run folder of `reds prune` or `reds demo`. What it does not hold is left out of the page.
        path: the .html file to write.
        png: folder to write the page's plots to as .png files too.

    Returns:
        The files.

    Raises:
        UsageError: if the folder is no finished run, a file in it is damaged, or a file cannot be written.
    """
    page = make_page(read_run(Path(folder)))
    plots = () if png is None else tuple((Path(png) / f"{plot.name}.png", plot.to_png()) for plot in page.plots)
    for file, content in plots:
        write_atomically(file, content)
    write_atomically(path, page.html.encode())
    return WrittenReport(Path(path), tuple(file for file, _ in plots))
