"""Measures what libreds costs: flash, stack and context on three cores, and instructions of a network on one.

    python bench/experiments/footprint.py             records them here and in docs/firmware.md
    python bench/experiments/footprint.py --check     compares with the record; 3 if one is more than 2 % worse

Flash is that of the whole archive, before a linker leaves out what a firmware does not call, and that of all functions
of reds.h with the operations of one network. Stack is the deepest chain of calls as the compiler reports it: of each
kernel, and of the functions that firmware calls. What an observer or a function of the C library needs comes on top.
The network is DS-CNN S with random weights, whole and with all channels narrowed alike to a quarter of the
multiply-accumulates.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from reds.errors import RedsError, UsageError, VerificationError
from reds.files import write_atomically
from reds.graph import Graph, Subnetwork
from reds_bench.client import Bench
from reds_bench.emulator import boot

ROOT = Path(__file__).parents[2]
RECORD = Path(__file__).with_suffix(".json")
PAGE = ROOT / "docs/firmware.md"
PAGE_TABLE = re.compile(r"(?<=<!-- footprint -->\n).*?(?=<!-- /footprint -->)", re.DOTALL)
COMPILER = "arm-none-eabi-g++"
CORES = ("cortex-m0plus", "cortex-m4", "cortex-m55")
FLOAT_ABI = {"cortex-m0plus": "soft", "cortex-m4": "hard", "cortex-m55": "hard"}
"""Of the calls that libreds is compiled for, by core."""
TYPES = ("all", "int8")
SECTIONS = ("text", "rodata", "data", "bss")
ENTRIES = ("reds_open", "reds_invoke", "reds_select", "reds_set_budget", "reds_continue_in", "reds_continue_within")
CONTEXT = "cortex-m4 reds_context B"
INDIRECT_CALL = "__indirect_call"
"""What the compiler names where a call goes through a pointer."""

BOARD = "qemu:cortex-m4"
IN_FLIGHT = ("reds_continue_in", "reds_continue_within", "reds_is_confident")
"""What only a firmware calls that changes a running inference."""

ARCHITECTURE = "ds_cnn_s"
QUARTER = 0.25
WIDTH_MULTIPLE = 4
CALIBRATION_SAMPLES = 16

TOLERANCE = 0.02
"""How much worse a number may be, as a fraction of the record's."""


@dataclass(frozen=True)
class Footprint:
    """The numbers, all better when smaller, by core, part and unit; and who compiled."""

    compiler: str
    costs: dict[str, int]


@dataclass(frozen=True)
class Delta:
    """A number in the record and now; None where it is not there."""

    name: str
    before: int | None
    after: int | None

    @property
    def growth(self) -> float:
        """As a fraction of the record's number."""
        if self.before is None or self.after is None:
            return 0.0
        return (self.after - self.before) / max(self.before, 1)

    @property
    def is_worse(self) -> bool:
        return self.growth > TOLERANCE

    def __str__(self) -> str:
        before, after = ("-" if value is None else f"{value:,}" for value in (self.before, self.after))
        return f"{self.name:48} {before:>12} {after:>12} {self.growth:+8.1%}{'  worse' if self.is_worse else ''}"


# ---- Flash and stack -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Archive:
    """A built libreds.a and the objects in it."""

    path: Path
    objects: tuple[Path, ...]


def build(types: str) -> dict[str, Archive]:
    """Builds libreds for every core and returns what each links."""
    variant = "-int8" if types == "int8" else ""
    paths = {core: f"build/{core}{variant}" for core in CORES}
    targets = (f"{path}/libreds.a" for path in paths.values())
    tree = _said_by(sys.executable, "-m", "SCons", "-s", "--tree=prune", f"types={types}", *targets)
    return {
        core: Archive(
            ROOT / path / "libreds.a",
            tuple(ROOT / name for name in re.findall(rf"\+-({path}/objects/\S+\.o)$", tree, flags=re.MULTILINE)),
        )
        for core, path in paths.items()
    }


def flash(archive: Archive) -> dict[str, int]:
    """Bytes per kind of section, with what several objects have in common counted once."""
    return _sections("-Wl,--whole-archive", str(archive.path))


def flash_alone(core: str, archive: Archive, operations: Path, without: Collection[str] = ()) -> int:
    """Bytes of the functions of reds.h and of the operations in a list that `write_operations` wrote.

    Args:
        core: the archive's.
        archive: libreds.
        operations: the list.
        without: functions that the firmware does not call.
    """
    symbols = _said_by("arm-none-eabi-nm", "--defined-only", "--extern-only", str(archive.path))
    functions = set(re.findall(r" T (reds_\w+)$", symbols, flags=re.MULTILINE)) - set(without)
    with tempfile.TemporaryDirectory() as folder:
        compiled = f"{folder}/operations.o"
        flags = (f"-mcpu={core}", "-mthumb", f"-mfloat-abi={FLOAT_ABI[core]}", "-Idevice/include")
        _said_by(COMPILER, *flags, "-c", str(operations), "-o", compiled)
        roots = (f"-Wl,--undefined={function}" for function in functions)
        return sum(_sections("-Wl,--gc-sections", *roots, compiled, str(archive.path)).values())


def _sections(*link: str) -> dict[str, int]:
    """Bytes per kind of section of what is linked together, still without what it calls."""
    with tempfile.TemporaryDirectory() as folder:
        linked = f"{folder}/linked.o"
        _said_by(COMPILER, "-nostdlib", "-r", "-Wl,--force-group-allocation", "-o", linked, *link)
        table = _said_by("arm-none-eabi-size", "-A", linked)
    sizes = re.findall(r"^\.(\w+)\S*\s+(\d+)", table, flags=re.MULTILINE)
    return {section: sum(int(size) for name, size in sizes if name == section) for section in SECTIONS}


class CallGraph:
    """Stack of functions and whom they call, from the files that `-fcallgraph-info=su` writes.

    A call through a pointer may lead to every local function of the same file that nothing there calls by name.
    """

    def __init__(self, objects: Iterable[Path]) -> None:
        self._frames: dict[str, int] = {}
        self._calls: dict[str, set[str]] = {}
        self._functions: dict[str, list[str]] = {}
        for path in objects:
            self._read(path)

    def _read(self, path: Path) -> None:
        text = path.with_suffix(".ci").read_text(encoding="utf-8")
        frames = re.findall(r'^node: \{ title: "([^"]+)" label: "[^"]*\\n(\d+) bytes \((\w+)', text, re.MULTILINE)
        for function, size, kind in frames:
            if kind != "static":
                raise UsageError(f"The stack of {function} in {path} must be of fixed size. Received: {kind}")
            self._frames[function] = max(int(size), self._frames.get(function, 0))
        edges = re.findall(r'^edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"', text, re.MULTILINE)
        called = {callee for _, callee in edges}
        pointed_at = {function for function, *_ in frames if ":" in function} - called
        for caller, callee in edges:
            self._calls.setdefault(caller, set()).update(pointed_at if callee == INDIRECT_CALL else {callee})
        self._functions[path.stem] = [function for function, *_ in frames]

    def depth(self, function: str) -> int:
        """Bytes of the deepest chain of calls from a function; the library has no recursion."""
        below = (self.depth(callee) for callee in self._calls.get(function, ()))
        return self._frames.get(function, 0) + max(below, default=0)

    def depth_of_file(self, stem: str) -> int:
        """Bytes of the deepest chain from any function of a file."""
        return max(self.depth(function) for function in self._functions[stem])


def stack(archive: Archive) -> Iterator[tuple[str, int]]:
    """Yields each kernel and each function that firmware calls, with its bytes of stack."""
    calls = CallGraph(archive.objects)
    for kernel in sorted(path.stem for path in archive.objects if "kernels" in path.parts):
        yield kernel, calls.depth_of_file(kernel)
    for entry in ENTRIES:
        yield entry, calls.depth(entry)


def context_bytes() -> int:
    """Size of a reds_context on a 32-bit core."""
    with tempfile.TemporaryDirectory() as folder:
        source, compiled = Path(folder) / "context.c", Path(folder) / "context.o"
        source.write_text('#include "reds/reds.h"\nreds_context context;\n')
        _said_by("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-Idevice/include", "-c", str(source), "-o", str(compiled))
        return int(_said_by("arm-none-eabi-nm", "-S", str(compiled)).split()[1], 16)


def _said_by(*command: str) -> str:
    try:
        return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    except OSError as error:
        raise UsageError(f"`{command[0]}` is missing; run ./bootstrap.") from error


# ---- Instructions ----------------------------------------------------------------------------------------------


def write_network(path: Path) -> None:
    """Emits the architecture with fresh weights, whole and narrowed."""
    from untrained import narrowed_network

    from reds.emitting import emit
    from reds.tracing import trace
    from reds.zoo import build as build_architecture

    graph = trace(build_architecture(ARCHITECTURE, seed=0))
    samples = np.random.default_rng(0).standard_normal((CALIBRATION_SAMPLES, *graph.input_shape), np.float32)
    whole = tuple(group.size for group in graph.groups)
    subnetworks = (Subnetwork("100%", whole), Subnetwork("25%", quarter(graph)))
    emit(narrowed_network(graph, subnetworks, samples), path, "int8", samples)


def quarter(graph: Graph) -> tuple[int, ...]:
    """The largest share of every group's channels that a quarter of the multiply-accumulates allows.

    The search is not asked, so that an instruction more is the kernels' doing.
    """
    from reds.cost import full_widths, macs

    limit = QUARTER * macs(graph, full_widths(graph))
    smallest = min(group.size for group in graph.groups)
    for width in range(smallest, 0, -WIDTH_MULTIPLE):
        widths = tuple(group.size * width // smallest for group in graph.groups)
        if macs(graph, widths) <= limit:
            return widths
    raise UsageError(f"A quarter of {graph.name} must have channels.")


def instructions(model: Path) -> Iterator[tuple[str, int]]:
    """Yields each subnetwork and the instructions of one inference."""
    with boot(BOARD, model) as url, Bench(url) as bench:
        for subnetwork in bench.subnetworks():
            bench.select(subnetwork.id)
            bench.infer()
            yield subnetwork.name, bench.stats().last_instructions


# ---- Comparison ------------------------------------------------------------------------------------------------


def measure() -> Footprint:
    """All numbers of this tree."""
    from reds.emitting import write_operations

    costs = {}
    with tempfile.TemporaryDirectory() as folder:
        model, operations = Path(folder) / "model.tflite", Path(folder) / "operations.c"
        write_network(model)
        write_operations(model, operations)
        for types in TYPES:
            for core, archive in build(types).items():
                costs |= {f"{core} {types} {section} B": size for section, size in flash(archive).items()}
                if types == "int8":
                    costs[f"{core} {ARCHITECTURE} alone B"] = flash_alone(core, archive, operations, IN_FLIGHT)
                    costs[f"{core} {ARCHITECTURE} with changes B"] = flash_alone(core, archive, operations)
                else:
                    costs |= {f"{core} stack of {name} B": size for name, size in stack(archive)}
        costs[CONTEXT] = context_bytes()
        costs |= {f"cortex-m4 {ARCHITECTURE} {name} instructions": count for name, count in instructions(model)}
    return Footprint(_said_by(COMPILER, "--version").splitlines()[0], costs)


def compare(before: Footprint, after: Footprint) -> tuple[Delta, ...]:
    """Every number of either, in the order of the later one."""
    names = dict.fromkeys((*after.costs, *before.costs))
    return tuple(Delta(name, before.costs.get(name), after.costs.get(name)) for name in names)


def check(before: Footprint, after: Footprint) -> None:
    """Prints what changed.

    Raises:
        VerificationError: if a number is worse by more than the tolerance and the compiler is the record's.
    """
    deltas = compare(before, after)
    print(f"{'':48} {'record':>12} {'now':>12}    delta")
    for delta in deltas:
        if delta.before != delta.after:
            print(delta)
    print(f"{sum(delta.before == delta.after for delta in deltas)} of {len(deltas)} numbers are as recorded")
    if before.compiler != after.compiler:
        print(f"not judged: the record is of {before.compiler}, this is {after.compiler}")
    elif any(delta.is_worse for delta in deltas):
        raise VerificationError(
            f"libreds has become more than {TOLERANCE:.0%} worse; where it is worth it, record it with {RECORD.stem}.py"
        )


def page(text: str, footprint: Footprint) -> str:
    """The documentation with the footprint's table."""
    return PAGE_TABLE.sub(lambda _: "\n".join(_table(footprint)) + "\n", text)


def _table(footprint: Footprint) -> Iterator[str]:
    columns = {
        "code, int8 and float32": "all text",
        "code, int8 alone (`scons types=int8`)": "int8 text",
        "tables": "all rodata",
        "int8 code and tables that DS-CNN S needs": f"{ARCHITECTURE} alone",
        "with changes in flight": f"{ARCHITECTURE} with changes",
        "deepest stack of `reds_invoke`": "stack of reds_invoke",
        "of `reds_open`": "stack of reds_open",
    }
    yield "| core | " + " | ".join(columns) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    for core in CORES:
        yield f"| {core} | " + " | ".join(f"{footprint.costs[f'{core} {key} B']:,}" for key in columns.values()) + " |"


def main() -> None:
    """Records or checks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the record in place of writing it")
    arguments = parser.parse_args()
    try:
        footprint = measure()
        if arguments.check:
            check(Footprint(**json.loads(RECORD.read_text(encoding="utf-8"))), footprint)
        else:
            write_atomically(RECORD, (json.dumps(asdict(footprint), indent=1) + "\n").encode())
            write_atomically(PAGE, page(PAGE.read_text(encoding="utf-8"), footprint).encode())
    except RedsError as error:
        print(f"{RECORD.stem}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
