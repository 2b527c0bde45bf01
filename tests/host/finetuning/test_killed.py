"""A training whose process was killed gives, when it is started again, the result of an unbroken one to the bit."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from reds.datasets import Dataset
from reds.graph import Family
from reds.store import save

PROGRAM = Path(__file__).with_name("train_in_process.py")


def _run(folder: Path, run: str, *last: str) -> int:
    """The exit code of a process that trains in a run folder and kills itself in the epoch after the last one."""
    files = [folder / "family.npz", folder / "data.npz", folder / run, folder / f"{run}.npz"]
    return subprocess.run([sys.executable, PROGRAM, *files, *last], check=False).returncode


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def test_killed_twice_and_resumed(family: Family, dataset: Dataset, tmp_path: Path) -> None:
    save(tmp_path / "family.npz", replace(family, subnetworks=(*family.subnetworks[:2], family.subnetworks[3])))
    splits = {name: getattr(dataset, name).features() for name in ("train", "validation", "test")}
    arrays = {f"{name}_{axis}": value for name, pair in splits.items() for axis, value in zip("xy", pair, strict=True)}
    np.savez(tmp_path / "data.npz", **arrays)

    assert _run(tmp_path, "straight") == 0
    assert _run(tmp_path, "broken", "subnetworks", "1") == -signal.SIGKILL
    assert _run(tmp_path, "broken", "quantization_aware", "2") == -signal.SIGKILL
    assert {path.name for path in (tmp_path / "broken").iterdir()} == {
        "subnetworks.npz",
        "exits.npz",
        "quantization_aware.npz",
    }
    assert not (tmp_path / "broken.npz").exists()
    assert _run(tmp_path, "broken") == 0

    straight, broken = _arrays(tmp_path / "straight.npz"), _arrays(tmp_path / "broken.npz")
    assert straight.keys() == broken.keys()
    for name, value in straight.items():
        assert value.tobytes() == broken[name].tobytes(), name
