"""Writes a model as a C array for firmware that links it in."""

from pathlib import Path

from reds.files import write_atomically
from reds.schema import conventions

BYTES_PER_LINE = 16


def write_c_array(model: bytes, path: Path, name: str = "reds_model") -> None:
    """Writes a header with the model's bytes and their number.

    Args:
        model: the file's bytes.
        path: the header to write.
        name: C identifier of the array; its size is `{name}_size`.
    """
    lines = [
        ", ".join(f"0x{byte:02x}" for byte in model[start : start + BYTES_PER_LINE])
        for start in range(0, len(model), BYTES_PER_LINE)
    ]
    guard = f"{name.upper()}_H"
    text = (
        f"#ifndef {guard}\n#define {guard}\n\n#include <stddef.h>\n#include <stdint.h>\n\n"
        f"static const size_t {name}_size = {len(model)};\n"
        f"static const uint8_t {name}[{len(model)}] __attribute__((aligned({conventions.ARENA_ALIGNMENT}))) = {{\n    "
        + ",\n    ".join(lines)
        + "};\n\n#endif\n"
    )
    write_atomically(path, text.encode())
