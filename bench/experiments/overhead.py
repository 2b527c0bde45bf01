"""Counts what an inference takes beside its kernels: walking the run list and making their arguments from the plan.

    python bench/experiments/overhead.py

QEMU writes down every instruction of an inference on the Cortex-M4. Those of functions of `device/kernels` are what
the same kernels take when they are called directly; all others, the C library's among them, are the price of the plan.
The networks are those of `networks.py`. The record is `overhead.json` beside this file.
"""

import argparse
import json
import re
import subprocess
import tempfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from networks import NETWORKS, Network, write_model

from reds.files import write_atomically
from reds_bench.client import Bench
from reds_bench.emulator import boot
from reds_bench.firmware import ARTIFACTS

ROOT = Path(__file__).parents[2]
RECORD = Path(__file__).with_suffix(".json")
CORE = "cortex-m4"
FIRMWARE = ARTIFACTS / "firmware" / f"{CORE}.elf"
OBJECTS = ROOT / "build" / CORE
MEASURED = ("ds_cnn_s", "autoencoder", "dnn_s")
EXECUTED = re.compile(rb"^Trace 0: 0x[0-9a-f]+ \[[0-9a-f]+/([0-9a-f]+)/")


@dataclass(frozen=True)
class Overhead:
    """One subnetwork."""

    architecture: str
    type: str
    quarters: int
    """Of the channels."""
    kernels: int
    """Instructions of kernels in one inference."""
    others: int
    """All others from the begin of `reds_invoke` to its end."""


def functions(*paths: Path) -> Iterator[tuple[int, str]]:
    """Addresses and names of the functions in some objects."""
    command = ["arm-none-eabi-nm", "--defined-only", *map(str, paths)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    for address, name in re.findall(r"^([0-9a-f]+) [tTwW] (\S+)$", said, flags=re.MULTILINE):
        yield int(address, 16), name


class Trace:
    """Where instructions belong."""

    def __init__(self) -> None:
        kernels = {name for _, name in functions(*OBJECTS.glob("objects/kernels/**/*.o"))}
        firmware = {name for _, name in functions(*OBJECTS.glob("firmware/**/*.o"))}
        self._invoke = next(address for address, name in functions(FIRMWARE) if name == "reds_invoke")
        named = {address: name for address, name in functions(FIRMWARE) if not name.startswith("$")}
        self._starts = sorted(named)
        self._kinds = [
            "kernels" if named[start] in kernels else "firmware" if named[start] in firmware else "others"
            for start in self._starts
        ]

    def of_last_inference(self, path: Path) -> Counter[str]:
        """Instructions by whose they are."""
        kinds: dict[int, str] = {}
        counts: Counter[str] = Counter()
        is_inside = False
        with path.open("rb") as lines:
            for line in lines:
                if (found := EXECUTED.match(line)) is None:
                    continue
                address = int(found[1], 16)
                if address == self._invoke:
                    counts, is_inside = Counter(), True
                if is_inside:
                    kind = kinds.get(address) or kinds.setdefault(address, self._kind(address))
                    is_inside = kind != "firmware"
                    counts[kind] += is_inside
        return counts

    def _kind(self, address: int) -> str:
        return self._kinds[bisect_right(self._starts, address) - 1]


def measure(network: Network, trace: Trace) -> Iterator[Overhead]:
    """A row per width."""
    with tempfile.TemporaryDirectory() as folder:
        model, log = Path(folder) / "model.tflite", Path(folder) / "executed"
        write_model(network, model)
        for place, quarters in enumerate(network.quarters):
            options = ("-singlestep", "-d", "exec,nochain", "-D", str(log))
            with boot(f"qemu:{CORE}", model, emulator_options=options) as url, Bench(url) as bench:
                bench.select(place)
                bench.infer(warmup=0)
            counts = trace.of_last_inference(log)
            yield Overhead(network.architecture, network.type, quarters, counts["kernels"], counts["others"])


def main() -> None:
    """Writes the record."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    trace = Trace()
    rows = [asdict(row) for network in NETWORKS if network.architecture in MEASURED for row in measure(network, trace)]
    write_atomically(RECORD, (json.dumps({"networks": rows}, indent=1) + "\n").encode())
    for row in rows:
        print(row, f"{row['others'] / row['kernels']:.2%}")


if __name__ == "__main__":
    main()
