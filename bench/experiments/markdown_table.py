"""Prints a run's table for the documentation: python bench/experiments/markdown_table.py RUN/table.json."""

import json
import sys
from pathlib import Path


def markdown(table: dict) -> str:
    """The subnetworks of a run as Markdown."""
    lines = [
        "| subnetwork | MACs | of full | parameters | flash B | arena B | Cortex-M4 instructions | accuracy |",
        "|---|---|---|---|---|---|---|---|",
    ]
    full = table["subnetworks"][0]["macs"]
    for row in table["subnetworks"]:
        cells = [
            row["name"],
            f"{row['macs']:,}",
            f"{row['macs'] / full:.0%}",
            f"{row['parameters']:,}",
            f"{row['flash_bytes']:,}",
            f"{row['arena_bytes']:,}",
            f"{row['targets']['cortex-m4']['instructions']:,}",
            f"{row['accuracy']:.1%}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
