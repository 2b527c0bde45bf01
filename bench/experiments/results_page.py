"""Writes docs/results.md, and the README's table, from the records beside this file.

    python bench/experiments/results_page.py

Each section names the command that made its record, so a number on the page can always be made again.
"""

import json
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reds.files import write_atomically

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

PAGE_WIDTH = 160
"""Characters of a line of text."""

INTRODUCTION = """\
Every number here comes from the command beside it; the machine-readable record is the file named with it, and this
page is made from the records by `python bench/experiments/results_page.py`. Instructions are retired instructions under
QEMU's `-icount shift=0`, the same in every run; they are not cycles. Accuracies are measured by libreds on the test
split. Training is seeded and repeats to the bit on the same machine; another number of cores sums in another order, so
expect a few tenths of a point of difference elsewhere. `DATA` stands for a folder with the official data sets.
"""


@dataclass(frozen=True)
class Section:
    """A part of the page, made from one record."""

    record: str
    """File beside this one; the section is left out while it does not exist."""
    write: Callable[[Any], str]
    """The section's Markdown from the record's content."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def paragraph(*sentences: str) -> str:
    """Sentences as lines that a person can read in an editor."""
    return textwrap.fill(" ".join(sentences), PAGE_WIDTH, break_long_words=False, break_on_hyphens=False)


def link(record: str) -> str:
    """Names a record."""
    return f"Record: [`{record}`](../bench/experiments/{record})."


def subnetworks_table(subnetworks: Sequence[dict]) -> str:
    """The subnetworks of a run."""
    full = subnetworks[0]["macs"]
    header = ("subnetwork", "MACs", "of full", "parameters", "flash B", "arena B", "Cortex-M4 instructions", "accuracy")
    rows = (
        (
            row["name"],
            f"{row['macs']:,}",
            f"{row['macs'] / full:.0%}",
            f"{row['parameters']:,}",
            f"{row['flash_bytes']:,}",
            f"{row['arena_bytes']:,}",
            f"{row['targets']['cortex-m4']['instructions']:,}",
            f"{row['accuracy']:.1%}",
        )
        for row in subnetworks
    )
    return table(header, rows)


def _demo(title: str, command: str, record_name: str, data: str) -> Callable[[dict], str]:
    def write(record: dict) -> str:
        trace, checks = record["trace"], record["verification"]["checks"]
        costs = paragraph(
            f"Selecting a subnetwork takes {record['switch_instructions']} instructions, a budget request with",
            f"selection {record['budget_instructions']}, opening the file {record['open_instructions']:,},",
            "its checksum included.",
            f"While the budget changed, the board answered {trace['right']} of {trace['inferences']} clips right;",
            f"{len(checks)} comparisons of the proofs held.",
            f"The whole took {record['seconds']:.0f} s on two shared cores.",
        )
        return "\n\n".join(
            [
                f"## {title}",
                f"    {command}",
                paragraph(data, link(record_name)),
                subnetworks_table(record["subnetworks"]),
                costs,
            ]
        )

    return write


def _verification(title: str, command: str, record_name: str) -> Callable[[dict], str]:
    def write(record: dict) -> str:
        rows = [
            (str(check["proof"]), check["what"], check["subnetwork"], str(check["samples"]), check["detail"])
            for check in record["checks"]
        ]
        outcome = "All comparisons hold." if record["passed"] else "Not all comparisons hold."
        header = ("proof", "comparison", "subnetwork", "inputs", "result")
        return f"## {title}\n\n    {command}\n\n{outcome} {link(record_name)}\n\n{table(header, rows)}"

    return write


def _searches(record: dict) -> str:
    rows = [
        (
            search["architecture"] + (f", arena {search['max_arena']:,} B" if search["max_arena"] else ""),
            search["importance"],
            *(f"{budget['gap']:.4%}" for budget in search["budgets"]),
            f"{search['seconds']:.2f}",
            f"{search['process_seconds']:.1f}",
            f"{search['peak_memory_bytes'] / 1e6:.0f}",
        )
        for search in record["searches"]
    ]
    machine = record["machine"]
    text = paragraph(
        "Budgets of 25, 50 and 75 % of the true multiply-accumulates, width multiple 1, three nested subnetworks each.",
        "The gap is to the bound that the search itself proves. The memory is nearly all TensorFlow's, which reads the",
        f"Keras model. {machine['cores']} cores ({machine['processor']}).",
        link("solver.json"),
    )
    header = ("network", "importance", "gap 25 %", "50 %", "75 %", "search s", "process s", "peak MB")
    return f"## Search\n\n    python bench/experiments/solver.py\n\n{text}\n\n{table(header, rows)}"


def _objectives(record: dict) -> str:
    rows = [
        (product["name"], f"{product['accuracy']:.1%}", _widths(product), f"{plain['accuracy']:.1%}", _widths(plain))
        for product, plain in zip(record["product"], record["sum"], strict=True)
    ]
    command = "python bench/experiments/objective.py runs/demo/baseline.keras spoken_commands"
    text = paragraph(
        "The product of the shares of importance that the channel groups keep, against REDS' sum of importance;",
        f"the same network, budgets, data and {record['epochs']} epochs.",
        "A sum starves layers whose importance is a small part of the whole.",
        link("objective.json"),
    )
    header = ("subnetwork", "product", "widths", "sum", "widths")
    return (
        "## What the search maximises\n\n"
        f"    {command} bench/experiments/objective.json\n\n{text}\n\n{table(header, rows)}"
    )


def _widths(row: dict) -> str:
    return "-".join(str(width) for width in row["widths"])


def _kernels(record: dict) -> str:
    command = "python bench/experiments/kernel_instructions.py runs/demo/model.tflite --board BOARD --subnetwork 0"
    text = paragraph(
        "The full network of the demo, operation by operation; requantisation is included.", link("kernels.json")
    )
    parts = [f"## Kernels\n\n    {command} --record bench/experiments/kernels.json\n\n{text}"]
    for board, operations in record.items():
        rows = [
            (
                row["operation"],
                f"{row['macs']:,}",
                f"{row['instructions']:,}",
                f"{row['instructions'] / row['macs']:.2f}" if row["macs"] else "",
            )
            for row in operations
        ]
        parts.append(f"{board}:\n\n{table(('operation', 'MACs', 'instructions', 'per MAC'), rows)}")
    return "\n\n".join(parts)


VERIFY = "reds verify MODEL --samples 200 --board qemu:cortex-m4 --board qemu:cortex-m0plus --json"

SECTIONS = (
    Section(
        "demo_generated.json",
        _demo(
            "The demo on generated speech",
            "./bootstrap demo",
            "demo_generated.json",
            "2,352 clips to train with, 672 to test; spoken by `espeak-ng`; no timbre is in two splits.",
        ),
    ),
    Section(
        "demo_real.json",
        _demo(
            "The demo on real speech",
            "REDS_DATA=DATA ./bootstrap demo --out runs/demo_real",
            "demo_real.json",
            "A small speaker-disjoint split of real Speech Commands clips: 3,536 to train with, 399 to test. Most of "
            "the wanted words are from the official test set, so the accuracies compare with each other, never with "
            "published ones.",
        ),
    ),
    Section(
        "verify_int8.json",
        _verification("Proofs, int8", VERIFY.replace("MODEL", "runs/demo/model.tflite"), "verify_int8.json"),
    ),
    Section(
        "verify_float32.json",
        _verification(
            "Proofs, float32",
            "reds emit runs/demo -o model-float32.tflite --type float32\n    "
            "reds verify model-float32.tflite --samples 200 --board qemu:cortex-m4 --json",
            "verify_float32.json",
        ),
    ),
    Section("kernels.json", _kernels),
    Section("solver.json", _searches),
    Section("objective.json", _objectives),
)

README_TABLE = re.compile(r"(?<=<!-- demo -->\n).*?(?=\n<!-- /demo -->)", re.DOTALL)


def page() -> str:
    """The page as Markdown."""
    sections = [section.write(_read(section.record)) for section in SECTIONS if (HERE / section.record).exists()]
    return "\n\n".join(["# Results", paragraph(INTRODUCTION), *sections]) + "\n"


def readme(current: str) -> str:
    """The README with the demo's table."""
    return README_TABLE.sub(lambda _: subnetworks_table(_read("demo_generated.json")["subnetworks"]), current)


def _read(record: str) -> Any:
    return json.loads((HERE / record).read_text(encoding="utf-8"))


def main() -> None:
    """Writes both files."""
    write_atomically(ROOT / "docs" / "results.md", page().encode())
    path = ROOT / "README.md"
    write_atomically(path, readme(path.read_text(encoding="utf-8")).encode())


if __name__ == "__main__":
    main()
