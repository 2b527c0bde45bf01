"""Counts how often the fully connected kernel's weights miss a simulated data cache, beside other orders of its loops.

    python bench/experiments/cache.py [--out FILE]

Each subnetwork of DNN S and DNN L (widths of the REDS publication's search) runs one inference under Valgrind's
cachegrind, starting from a cold cache. The cache has the size and the ways of the RP2040's flash cache, 16 KiB and two;
its lines are 32 bytes, the shortest that cachegrind simulates, where the RP2040 has 8.

What is counted: all data reads of the kernel function, and its instruction fetches; no other function's. The misses of
its weights are the kernel's read misses less those of the same kernel with a number in place of each weight. A weight
is loaded by one instruction, so multiply-accumulates are weight loads. No order can miss less than once per line that
holds an active weight: that is `lines`, counted from the file. Which lines conflict depends on where the stack lies, so
counts differ by some tenths of a percent from run to run. The record is `cache.json` beside this file.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from reds.compiled import EMITTED_TYPES, CompiledLayer, CompiledNetwork, ElementType
from reds.emitting import encode
from reds.files import write_atomically
from reds.graph import Dense
from reds.model_file import decode, read_model_file

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "build/x86/tests/weight_orders"

LIBREDS = "libreds"
NO_WEIGHTS = "no_weights"
PACKED = "packed"
ORDERS = (LIBREDS, "sample_outer", "input_outer", "four_rows", PACKED)
"""Programs of tests/device/weight_orders; each file says what its order is."""

CACHE_BYTES, CACHE_WAYS = 16384, 2
"""RP2040 datasheet, section 2.6.3: the cache in front of the flash."""
LINE_BYTES = 32
VALGRIND = "valgrind"
CACHEGRIND = (
    VALGRIND,
    "--tool=cachegrind",
    f"--I1={CACHE_BYTES},{CACHE_WAYS},{LINE_BYTES}",
    f"--D1={CACHE_BYTES},{CACHE_WAYS},{LINE_BYTES}",
    "--LL=1048576,16,64",
)
"""The last-level cache has no part in what is counted; unset, it would be this machine's."""
KERNEL = re.compile(r"\breds::FullyConnected<(signed char|float)>")
"""In the signature of the kernel and of the function templates that it consists of."""

WIDTHS = {
    "dnn_s": ((144, 144, 144), (99, 132, 99), (51, 116, 63), (15, 75, 33)),
    "dnn_l": ((436, 436, 436), (436, 356, 235), (416, 244, 78), (302, 88, 19)),
}
"""Hidden widths at 100, 75, 50 and 25 %, from the REDS authors' training scripts."""
FRAMES = 8
"""Samples in one inference, to see the order of samples; the publication's networks have one."""
CALIBRATION_SAMPLES = 100


@dataclass(frozen=True)
class KernelCount:
    """What the kernel does to the caches in one inference."""

    instructions: int
    instruction_misses: int
    reads: int
    read_misses: int


@dataclass(frozen=True)
class Walk:
    """One order's way through the weights of one subnetwork."""

    network: str
    type: str
    subnetwork: str
    samples: int
    order: str
    lines: int
    """Lines that hold an active weight, each counted once: the least possible misses of weights."""
    weight_loads: int
    weight_misses: int
    kernel: KernelCount

    @property
    def weight_hit_rate(self) -> float:
        """Of loads of weights alone."""
        return 1 - self.weight_misses / self.weight_loads

    @property
    def read_hit_rate(self) -> float:
        """Of all data that the kernel reads."""
        return 1 - self.kernel.read_misses / self.kernel.reads

    @property
    def access_hit_rate(self) -> float:
        """Of data and instructions, which share the RP2040's cache and its counters."""
        misses = self.kernel.read_misses + self.kernel.instruction_misses
        return 1 - misses / (self.kernel.reads + self.kernel.instructions)

    def as_dict(self) -> dict:
        """For JSON."""
        rates = {name: round(getattr(self, name), 4) for name in RATES}
        return {**asdict(self), **rates, "misses_per_line": round(self.weight_misses / self.lines, 4)}


RATES = ("weight_hit_rate", "read_hit_rate", "access_hit_rate")


def build_programs() -> None:
    """Builds the programs of tests/device/weight_orders."""
    scons = Path(sys.executable).with_name("scons")
    subprocess.run([scons, "-s", "weight-orders"], cwd=ROOT, check=True, stdout=subprocess.PIPE)


def walks(name: str, network: CompiledNetwork, orders: Sequence[str] = ORDERS) -> Iterator[Walk]:
    """Runs every subnetwork in every order.

    Args:
        name: of the network, for the record.
        network: a chain of fully connected layers.
        orders: which programs to run.
    """
    model = encode(network)
    network = decode(read_model_file(model))  # with the weights as they are stored
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(model)
        for index, subnetwork in enumerate(network.subnetworks):
            rest = simulate(NO_WEIGHTS, path, index)
            samples = network.layers[0].output_shape[0]
            for order in orders:
                count = simulate(order, path, index)
                yield Walk(
                    name,
                    network.element_type,
                    "-".join(str(width) for width in subnetwork.widths),
                    samples,
                    order,
                    touched_lines(network, index, model, packed=order == PACKED),
                    network.macs(index) * samples,
                    count.read_misses - rest.read_misses,
                    count,
                )


def simulate(program: str, model: Path, subnetwork: int) -> KernelCount:
    """Runs one inference under cachegrind.

    Returns:
        The events of the kernel function alone.
    """
    with tempfile.NamedTemporaryFile() as out:
        command = [*CACHEGRIND, f"--cachegrind-out-file={out.name}", PROGRAMS / program, model, str(subnetwork)]
        subprocess.run(command, check=True, capture_output=True)
        return kernel_count(Path(out.name).read_text())


def kernel_count(record: str) -> KernelCount:
    """Sums the kernel's events in a file that cachegrind wrote: a line `fn=NAME`, then the events of its lines."""
    events: list[str] = []
    sums = np.zeros(0, np.int64)
    in_kernel = False
    for line in record.splitlines():
        if line.startswith("events:"):
            events = line.split()[1:]
            sums = np.zeros(len(events), np.int64)
        elif line.startswith("fn="):
            in_kernel = KERNEL.search(line) is not None
        elif in_kernel and line[:1].isdigit():
            sums += np.array(line.split()[1:], np.int64)
    by_event = dict(zip(events, sums.tolist(), strict=True))
    return KernelCount(by_event["Ir"], by_event["I1mr"], by_event["Dr"], by_event["D1mr"])


def touched_lines(network: CompiledNetwork, subnetwork: int, model: bytes, packed: bool) -> int:
    """Counts the cache lines with weights of a subnetwork.

    Args:
        network: the network.
        subnetwork: index in it.
        model: the file's bytes; the program loads them to the begin of a line.
        packed: whether the subnetwork's rows follow each other without gaps.
    """
    lines = 0
    for step in network.subnetworks[subnetwork].steps:
        layer = network.layers[step.layer]
        if layer.weights is None:
            continue
        row_bytes = step.input_channels * layer.weights.itemsize
        pitch = row_bytes if packed else layer.weights.shape[1] * layer.weights.itemsize
        begins = model.index(layer.weights.tobytes()) + pitch * np.arange(step.output_channels)
        first, last = begins // LINE_BYTES, (begins + row_bytes - 1) // LINE_BYTES
        # Rows follow each other: two share at most the line where one ends and the next begins.
        lines += int((last - first + 1).sum() - (last[:-1] == first[1:]).sum())
    return lines


def zoo_network(architecture: str, widths: Sequence[Sequence[int]], element_type: ElementType) -> CompiledNetwork:
    """An architecture of the zoo with fresh weights.

    Args:
        architecture: one without batch normalisation.
        widths: per subnetwork the hidden layers' widths, the full ones first.
        element_type: of weights and activations.
    """
    from reds import zoo
    from reds.graph import Family, Subnetwork, Supernet
    from reds.quantizing import quantize
    from reds.tracing import trace

    graph = trace(zoo.build(architecture))
    subnetworks = tuple(Subnetwork(str(index), tuple(chosen)) for index, chosen in enumerate(widths))
    family = Family(graph, tuple(np.ones(group.size) for group in graph.groups), (), subnetworks)
    samples = np.random.default_rng(0).standard_normal((CALIBRATION_SAMPLES, *graph.input_shape), np.float32)
    return quantize(Supernet(family, tuple({} for _ in subnetworks)), element_type, samples)


def with_frames(network: CompiledNetwork, frames: int) -> CompiledNetwork:
    """The fully connected network on several samples at once, each a row of a map."""
    layers = tuple(_on_frames(layer, frames) for layer in network.layers)
    return replace(
        network,
        input_shape=layers[0].input_shape,
        output_shape=layers[-1].output_shape,
        layers=layers,
    )


def _on_frames(layer: CompiledLayer, frames: int) -> CompiledLayer:
    assert isinstance(layer.operation, Dense) or layer.is_softmax
    shapes = (layer.input_shape, layer.output_shape)
    input_shape, output_shape = ((frames, 1, channels) for _, _, channels in shapes)
    return replace(layer, input_shape=input_shape, output_shape=output_shape)


def networks() -> Iterator[tuple[str, CompiledNetwork]]:
    """What is recorded."""
    for architecture, widths in WIDTHS.items():
        for element_type in EMITTED_TYPES:
            network = zoo_network(architecture, widths, element_type)
            yield architecture, network
            if architecture == "dnn_s":
                yield architecture, with_frames(network, FRAMES)


def means(rows: Sequence[Walk]) -> list[dict]:
    """Per type, order and number of samples the mean rates over all subnetworks, and the sum of their misses."""
    keys = sorted({(row.type, row.samples, row.order) for row in rows})
    return [_mean(*key, [row for row in rows if (row.type, row.samples, row.order) == key]) for key in keys]


def _mean(element_type: str, samples: int, order: str, rows: Sequence[Walk]) -> dict:
    misses = sum(row.weight_misses for row in rows)
    rates = {name: round(sum(getattr(row, name) for row in rows) / len(rows), 4) for name in RATES}
    return {
        "type": element_type,
        "samples": samples,
        "order": order,
        "subnetworks": len(rows),
        **rates,
        "weight_misses": misses,
        "misses_per_line": round(misses / sum(row.lines for row in rows), 4),
    }


def to_json(rows: Sequence[Walk]) -> bytes:
    """The record."""
    version = subprocess.run([VALGRIND, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    content = {
        "command": " ".join([*CACHEGRIND, "build/x86/tests/weight_orders/ORDER", "MODEL", "SUBNETWORK"]),
        "simulator": version,
        "means": means(rows),
        "walks": [row.as_dict() for row in rows],
    }
    return (json.dumps(content, indent=1) + "\n").encode()


def summary(row: Walk) -> str:
    """One line for the terminal."""
    return (
        f"{row.network} {row.type:8}{row.subnetwork:16}{row.samples} {row.order:13}{row.weight_misses:9,} misses of "
        f"weights, {row.weight_misses / row.lines:7.3f} per line; hits: weights {row.weight_hit_rate:.2%}, "
        f"reads {row.read_hit_rate:.2%}, with fetches {row.access_hit_rate:.2%}"
    )


def main() -> None:
    """Runs all and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), metavar="FILE")
    out = parser.parse_args().out
    if shutil.which(VALGRIND) is None:
        parser.error(f"`{VALGRIND}` is missing; install the Debian package of that name.")
    build_programs()
    rows = []
    for name, network in networks():
        for row in walks(name, network):
            print(summary(row), flush=True)
            rows.append(row)
    write_atomically(out, to_json(rows))


if __name__ == "__main__":
    main()
