"""A batch spread over devices or processes gives the losses of one device, to rounding."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from reds.datasets import Dataset
from reds.finetuning.training import EqualShares
from reds.graph import Family
from reds.replicas import Spread
from reds.store import save

PROGRAM = Path(__file__).with_name("train_distributed.py")
ROUNDING = {"rtol": 1e-5}


@pytest.fixture(scope="module")
def family_file(family: Family, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("family") / "family.npz"
    save(path, replace(family, exits=(), subnetworks=family.subnetworks[:2]))
    return path


def _start(family_file: Path, backend: str, *way: str) -> subprocess.Popen:
    environment = {**os.environ, "KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": "-1"}
    return subprocess.Popen(
        [sys.executable, PROGRAM, family_file, *way], env=environment, stdout=subprocess.PIPE, text=True
    )


def _result(process: subprocess.Popen) -> Any:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0
    return json.loads(output.splitlines()[-1])


def _own_name_resolves() -> bool:
    """Whether this machine finds itself by its name, as JAX's collectives on CPUs want to."""
    try:
        socket.getaddrinfo(socket.gethostname(), None)
    except OSError:
        return False
    return True


def test_two_devices_under_tensorflow(family_file: Path) -> None:
    alone, mirrored = (_result(_start(family_file, "tensorflow", way)) for way in ("alone", "mirrored"))
    assert len(alone) == 3
    np.testing.assert_allclose(mirrored, alone, **ROUNDING)


def test_what_keras_cannot_train_under_is_refused(family_file: Path) -> None:
    assert "KERAS_BACKEND=jax" in _result(_start(family_file, "tensorflow", "workers"))


needs_jax = pytest.mark.skipif(find_spec("jax") is None, reason="needs jax; `pip install 'reds[test]'` brings it")


@needs_jax
def test_two_devices_under_jax(family_file: Path) -> None:
    alone, devices = (_result(_start(family_file, "jax", way)) for way in ("alone", "devices"))
    assert len(alone) == 3
    np.testing.assert_allclose(devices, alone, **ROUNDING)


@needs_jax
@pytest.mark.skipif(not _own_name_resolves(), reason="needs a host name that resolves, by which the processes meet")
def test_two_processes_under_jax(family_file: Path) -> None:
    alone = _result(_start(family_file, "jax", "alone"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes = [_start(family_file, "jax", "processes", str(number), port) for number in range(2)]
    for process in processes:
        np.testing.assert_allclose(_result(process), alone, **ROUNDING)


def test_shares_are_equal_and_together_the_batches(dataset: Dataset) -> None:
    whole = dataset.train.batches(63, seed=0, augment=False, epoch=0)
    shares = [EqualShares(whole, 400 % 63, Spread(4, 2, process)) for process in range(2)]
    assert isinstance(shares[0], keras.utils.PyDataset)
    for index in range(len(whole)):
        parts = [share[index] for share in shares]
        assert {len(y) for _, y in parts} == {30 if index < 6 else 10}
        together = np.concatenate([x for x, _ in parts])
        np.testing.assert_array_equal(together, whole[index][0][: len(together)])


@pytest.mark.parametrize(("last", "count"), [(0, 7), (3, 6), (4, 7)])
def test_a_last_batch_too_small_to_share_is_left_out(dataset: Dataset, last: int, count: int) -> None:
    whole = dataset.train.batches(63, seed=0, augment=False, epoch=0)
    assert len(EqualShares(whole, last, Spread(4))) == count
