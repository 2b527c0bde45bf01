"""HTML as strings. Every function escapes the text it is given and returns markup."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Markup:
    """Text that is HTML already."""

    html: str


Content = str | Markup


@dataclass(frozen=True)
class Column:
    """Head of a table's column."""

    title: str
    unit: str = ""
    number: bool = True
    """Numbers stand right, text left."""


def render(content: Content) -> str:
    """HTML of text or markup."""
    return content.html if isinstance(content, Markup) else escape(content)


def paragraph(content: Content) -> str:
    """One paragraph."""
    return f"<p>{render(content)}</p>\n"


def section(title: str, *parts: str) -> str:
    """A part of the page under its heading.

    Args:
        title: text of the heading.
        parts: HTML.
    """
    return f"<section>\n<h2>{escape(title)}</h2>\n{''.join(parts)}</section>\n"


def facts(items: Sequence[tuple[str, str]]) -> str:
    """Names with their values."""
    entries = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>\n" for name, value in items)
    return f'<dl class="facts">\n{entries}</dl>\n'


def table(caption: str, columns: Sequence[Column], rows: Sequence[Sequence[Content]]) -> str:
    """A table that scrolls sideways where the screen is narrow; the first cell of a row is its heading.

    Args:
        caption: what it shows.
        columns: one per cell of a row.
        rows: cells.
    """
    head = "".join(
        f'<th scope="col"{_alignment(column)}>{escape(column.title)}{_unit(column.unit)}</th>' for column in columns
    )
    body = "".join(f"<tr>{_cells(columns, row)}</tr>\n" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">\n'
        f"<table>\n<caption>{escape(caption)}</caption>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n"
    )


def with_share(text: str, share: float) -> Markup:
    """A number over a bar that shows a share of the whole, in [0, 1]."""
    return Markup(f'{escape(text)}<span class="bar"><span style="width:{100 * share:.1f}%"></span></span>')


def with_note(text: str, note: str) -> Markup:
    """A value with a smaller remark below it."""
    return Markup(f"{escape(text)}<small>{escape(note)}</small>")


def code(text: str) -> Markup:
    """A value as a program wrote it."""
    return Markup(f"<code>{escape(text)}</code>")


def _cells(columns: Sequence[Column], row: Sequence[Content]) -> str:
    first, *others = zip(columns, row, strict=True)
    heading = f'<th scope="row"{_alignment(first[0])}>{render(first[1])}</th>'
    return heading + "".join(f"<td{_alignment(column)}>{render(cell)}</td>" for column, cell in others)


def _alignment(column: Column) -> str:
    return ' class="number"' if column.number else ""


def _unit(unit: str) -> str:
    return f"<small>{escape(unit)}</small>" if unit else ""
