"""The page of supported layers and operators is the one that the code makes."""

from pathlib import Path

from reds.supported import supported_layers_page

PAGE = Path(__file__).parents[2] / "docs" / "supported.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == supported_layers_page()
