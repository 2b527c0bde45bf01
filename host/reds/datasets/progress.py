"""Shows on a terminal how far a long reading or generating of data is."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def with_progress(items: Iterable[Item], count: int, description: str) -> Iterator[Item]:
    """Passes items on and counts them in a bar on stderr; shows nothing where that is no terminal.

    Args:
        items: What is passed on.
        count: How many there are.
        description: What is going on, for the bar.
    """
    from rich.console import Console
    from rich.progress import track

    console = Console(file=sys.stderr)
    yield from track(items, description, count, console=console, disable=not console.is_terminal)
