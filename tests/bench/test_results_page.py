"""The results in the documentation are those of the records."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "bench" / "experiments" / "results_page.py"


def _results_page():
    spec = importlib.util.spec_from_file_location("results_page", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_and_readme_show_the_records():
    results_page = _results_page()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert (ROOT / "docs" / "results.md").read_text(encoding="utf-8") == results_page.page()
    assert results_page.readme(readme) == readme
    assert results_page.README_TABLE.search(readme)
