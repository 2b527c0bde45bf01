"""Writes the page of supported layers from the one table that tracing checks with: python -m reds.supported PAGE."""

import sys
from pathlib import Path

from reds.files import write_atomically
from reds.tracing import SUPPORTED_LAYERS


def supported_layers_page() -> str:
    """The page as Markdown."""
    rows = sorted(
        (
            layer.__name__,
            ", ".join(requirement.text for requirement in supported.requirements) or "anything",
            supported.note,
        )
        for layer, supported in SUPPORTED_LAYERS.items()
    )
    return (
        "# Supported layers\n\n"
        "A model is made of these Keras layers, with one input and one output; its branches may part and join. This\n"
        "page is made from the table that `reds.trace` checks with: `python -m reds.supported docs/supported.md`.\n\n"
        "| layer | needs | note |\n|---|---|---|\n"
        + "".join(f"| {name} | {needs} | {note} |\n" for name, needs, note in rows)
    )


if __name__ == "__main__":
    write_atomically(Path(sys.argv[1]), supported_layers_page().encode())
