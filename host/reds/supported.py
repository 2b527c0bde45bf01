"""Writes the page of what is supported from the tables that the code checks with: python -m reds.supported PAGE."""

import sys
from pathlib import Path

from reds.adopting.operators import OPERATORS
from reds.adopting.tflite_graph import BUILTIN_NAMES
from reds.files import write_atomically
from reds.model_file import RESHAPING
from reds.tracing import SUPPORTED_LAYERS


def supported_layers_page() -> str:
    """The page as Markdown."""
    return (
        "# Supported layers\n\n"
        "A model is made of these Keras layers, with one input and one output; its branches may part and join. This\n"
        "page is made from the tables that `reds.trace` and `reds.adopt` check with:\n"
        "`python -m reds.supported docs/supported.md`.\n\n"
        "| layer | needs | note |\n|---|---|---|\n" + _layers() + "\n"
        "## TFLite operators\n\n"
        "`reds adopt MODEL.tflite -o OUT.tflite` takes a model that another tool made of these operators, in int8,\n"
        "int16 or float32 throughout, with one input and one output, constant weights and, but for the batch, fixed\n"
        "shapes. The input and the output of an int8 or int16 model may be float32, which is the converter's default,\n"
        "and those of an int8 model uint8. An int16 model has int16 activations, whose zero points are 0, and int8\n"
        "weights, as the converter makes them for `EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8`.\n"
        "int8 weights have zero points of 0, and one scale or one for each output channel. With a batch above 1 an\n"
        "inference runs its samples one after the other, so an operator that joins, divides, reduces, cuts or moves\n"
        "them, or a constant for each of them, is refused.\n\n"
        "| operator | needs | int16 too |\n|---|---|---|\n" + _operators() + "\n"
        f"{', '.join(_names(RESHAPING))} cost nothing: what reads them reads the same bytes in another shape. So does\n"
        "a TRANSPOSE that only moves dimensions of one, and a PACK or UNPACK of one tensor. What computes the shape\n"
        "of a RESHAPE (SHAPE, STRIDED_SLICE, PACK) is left out, since shapes are fixed.\n"
    )


def _layers() -> str:
    rows = sorted(
        (
            layer.__name__,
            ", ".join(requirement.text for requirement in supported.requirements) or "anything",
            supported.note,
        )
        for layer, supported in SUPPORTED_LAYERS.items()
    )
    return "".join(f"| {name} | {needs} | {note} |\n" for name, needs, note in rows)


def _operators() -> str:
    rows = sorted(
        (BUILTIN_NAMES[code], supported.needs or "anything", "yes" if supported.in_int16 else "")
        for code, supported in OPERATORS.items()
    )
    return "".join(f"| {name} | {needs} | {in_int16} |\n" for name, needs, in_int16 in rows)


def _names(codes: tuple[int, ...]) -> list[str]:
    return sorted(BUILTIN_NAMES[code] for code in codes)


if __name__ == "__main__":
    write_atomically(Path(sys.argv[1]), supported_layers_page().encode())
