"""Writes the C++ headers and the Python package that carry the numbers and names host and device share.

From conventions.toml and protocol.toml come, for every entry `key` of a file and `[section] key` of a section:

    C++     reds::conventions::kKey           reds::protocol::kSectionKey     (section in the singular: kReplyReady)
    Python  reds.schema.conventions.KEY       reds.schema.protocol.SECTION_KEY                       (REPLY_READY)

A string keeps its `{}` placeholders in both languages; Python fills them with `str.format`, C++ splits at them. The
headers are C++14, like the rest of libreds, because that is what Arduino's cores compile.

Usage: generate.py C++_DIRECTORY PYTHON_DIRECTORY
"""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

Value = str | int | float
Entry = tuple[str, Value]

SHARED = Path(__file__).parent
SOURCES = ("conventions", "protocol")
SINGULAR = {"commands": "command", "replies": "reply", "errors": "error"}


def entries(path: Path) -> Iterator[Entry]:
    """Yields each entry of a TOML file as (snake_case name, value), the section's singular first in the name."""
    for key, value in tomllib.loads(path.read_text(encoding="utf-8")).items():
        if isinstance(value, dict):
            section = SINGULAR[key]
            yield from ((f"{section}_{name}", item) for name, item in value.items())
        else:
            yield key, value


def cpp_literal(value: Value) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{value!r}f" if isinstance(value, float) else repr(value)


def cpp_constant(name: str, value: Value) -> str:
    identifier = "k" + "".join(word.capitalize() for word in name.split("_"))
    if isinstance(value, str):
        return f"constexpr char {identifier}[] = {cpp_literal(value)};"
    kind = "float" if isinstance(value, float) else "std::int32_t"
    return f"constexpr {kind} {identifier} = {cpp_literal(value)};"


def cpp_header(source: str, constants: list[Entry]) -> str:
    guard = f"REDS_{source.upper()}_H"
    return "\n".join(
        [
            f"// Generated from shared/{source}.toml; do not edit.",
            "",
            f"#ifndef {guard}",
            f"#define {guard}",
            "",
            "#include <cstdint>",
            "",
            "namespace reds {",
            f"namespace {source} {{",
            "",
            *(cpp_constant(name, value) for name, value in constants),
            "",
            f"}}  // namespace {source}",
            "}  // namespace reds",
            "",
            "#endif",
            "",
        ]
    )


def python_module(source: str, constants: list[Entry]) -> str:
    lines = (f"{name.upper()} = {value!r}" for name, value in constants)
    return f'"""Generated from shared/{source}.toml; do not edit."""\n\n' + "\n".join(lines) + "\n"


def main(cpp_directory: Path, python_directory: Path) -> None:
    cpp_directory.mkdir(parents=True, exist_ok=True)
    python_directory.mkdir(parents=True, exist_ok=True)
    (python_directory / "__init__.py").write_text(
        '"""Generated from shared/: the schema, the conventions and the protocol. Not edited, not committed."""\n'
    )
    for source in SOURCES:
        constants = list(entries(SHARED / f"{source}.toml"))
        (cpp_directory / f"{source}.h").write_text(cpp_header(source, constants), encoding="utf-8")
        (python_directory / f"{source}.py").write_text(python_module(source, constants), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
