"""`reds report`: where it writes and what it prints."""

from pathlib import Path
from typing import Any


def test_writes_the_page_and_says_so(reds: Any, run_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    answer = reds("report", run_folder, "-o", path)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == f"{path}: {path.stat().st_size:,} bytes\n"


def test_json_names_every_file(reds: Any, run_folder: Path, tmp_path: Path) -> None:
    path, folder = tmp_path / "report.html", tmp_path / "png"
    written = reds("report", run_folder, "-o", path, "--png", folder, "--json").json
    assert written["page"] == str(path)
    assert sorted(written["plots"]) == sorted(str(plot) for plot in folder.iterdir())


def test_a_folder_that_is_no_run(reds: Any, tmp_path: Path) -> None:
    answer = reds("report", tmp_path / "missing")
    assert answer.code == 1
    assert "reds prune" in answer.sentence
    assert not list(tmp_path.iterdir())
