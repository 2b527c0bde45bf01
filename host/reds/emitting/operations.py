"""Names the operations of a model, so that firmware links their kernels and no others."""

import re
from collections.abc import Iterator
from pathlib import Path

from reds.files import write_atomically
from reds.model_file import read_model_file
from reds.schema import reds_generated as schema


def write_operations(model: Path | str | bytes, path: Path) -> None:
    """Writes a C file that replaces the list of all operations in libreds by those of a model's plan.

    Args:
        model: path of a file that `emit` wrote, or its bytes.
        path: the file to write; C and C++ compilers take it.

    Raises:
        UsageError: if the file is foreign or damaged.
    """
    plan = read_model_file(model).plan
    linked = sorted({(layer.operation, layer.groups > 1) for layer in plan.layers})
    names = (operation_name(operation, plan.elementType, has_groups) for operation, has_groups in linked)
    text = (
        "// The operations that reds_model needs. Linked, this file leaves the other kernels of libreds out.\n\n"
        '#include "reds/operations.h"\n\n'
        "const reds_operation* const reds_operations[] = {\n"
        + "".join(f"    &{name},\n" for name in names)
        + "    0,\n};\n"
    )
    write_atomically(path, text.encode())


def operation_name(operation: int, element_type: int, has_groups: bool = False) -> str:
    """What reds/operations.h calls an operation.

    Args:
        operation: a value of `schema.Operation`.
        element_type: a value of `schema.ElementType`.
        has_groups: whether it is a convolution of more than one group.
    """
    group = "grouped_" if has_groups else ""
    return f"reds_{group}{_snake_case(_OPERATIONS[operation])}_{_ELEMENT_TYPES[element_type].lower()}"


def _snake_case(name: str) -> str:
    """Conv2D becomes conv_2d, as operators are called in TFLite; PRelu stays one word."""
    return re.sub(r"(?<=[a-z])(?=[A-Z\d])", "_", name).lower()


def _names(enumeration: type) -> Iterator[tuple[int, str]]:
    return ((value, name) for name, value in vars(enumeration).items() if isinstance(value, int))


_OPERATIONS = dict(_names(schema.Operation))
_ELEMENT_TYPES = dict(_names(schema.ElementType))
