"""From a Keras model to firmware: one small model goes all the way."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from small_run import SETTINGS, small_dataset, small_model

import reds
from reds.emitting import write_c_array
from reds.pruning import PrunedRun, prune

BOARD = "qemu:cortex-m4"
SAMPLES, BOARD_SAMPLES = 30, 2
TWO_EPOCHS = replace(SETTINGS, epochs=2)


class PowerCutError(Exception):
    """Stands for a power cut."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> PrunedRun:
    """A family of four: the full network, two narrower ones and an exit."""
    return prune(small_model(), small_dataset(), tmp_path_factory.mktemp("run"), TWO_EPOCHS)


@pytest.fixture(scope="module")
def inputs(run: PrunedRun) -> np.ndarray:
    """Quantised test samples."""
    return reds.Runtime(run.model).quantize(small_dataset().test.features()[0][:SAMPLES])


def test_the_file_has_what_was_asked_for(run: PrunedRun) -> None:
    report = reds.inspect(run.model)
    full, larger, smaller, shallow = report.subnetworks
    assert smaller.macs <= 0.3 * full.macs < larger.macs <= 0.6 * full.macs
    assert all(a <= b <= c for a, b, c in zip(smaller.widths, larger.widths, full.widths, strict=True))
    assert shallow.exit != full.exit
    assert [row.accuracy for row in report.subnetworks] == pytest.approx(run.accuracy)


def test_libreds_the_extracted_models_and_stock_interpreters_agree(run: PrunedRun, inputs: np.ndarray) -> None:
    report = reds.verify(run.model, inputs)
    assert {check.proof for check in report.checks} == {2, 3, 5}
    report.require()


@pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="qemu-system-arm is missing; install that package")
def test_the_board_agrees(run: PrunedRun, inputs: np.ndarray) -> None:
    report = reds.verify(run.model, inputs[:BOARD_SAMPLES], (BOARD,))
    assert sum(check.proof == 4 for check in report.checks) == 4
    report.require()


def test_every_extracted_model_stands_alone(run: PrunedRun, tmp_path: Path) -> None:
    for row in reds.inspect(run.model).subnetworks:
        path = tmp_path / f"{row.id}.tflite"
        path.write_bytes(reds.extract(run.model, row.id))
        with pytest.raises(reds.UsageError, match="without the metadata entry"):
            reds.inspect(path)


def test_the_c_array_compiles_and_holds_the_same_bytes(run: PrunedRun, tmp_path: Path) -> None:
    header = tmp_path / "model.h"
    content = run.model.read_bytes()
    write_c_array(content, header, "my_model")
    user = tmp_path / "user.cc"
    user.write_text(
        '#include "model.h"\n#include "model.h"\n'
        f'static_assert(sizeof(my_model) == {len(content)} && alignof(my_model) >= 16 && my_model_size > 0, "");\n'
    )
    subprocess.run(["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", user], check=True)
    body = header.read_text().partition("{")[2]
    assert bytes(int(byte, 16) for byte in re.findall(r"0x([0-9a-f]{2})", body)) == content


def test_a_budget_picks_what_the_table_says(run: PrunedRun) -> None:
    runtime = reds.Runtime(run.model)
    rows = reds.inspect(run.model).subnetworks
    for limit in sorted({row.macs for row in rows}):
        for arena in sorted({row.arena_bytes for row in rows}):
            fitting = [row for row in rows if row.macs <= limit and row.arena_bytes <= arena]
            if not fitting:
                with pytest.raises(reds.UsageError, match="no subnetwork fits"):
                    runtime.set_budget(macs=limit, arena_bytes=arena)
                continue
            runtime.set_budget(macs=limit, arena_bytes=arena)
            chosen = rows[runtime.selected]
            assert chosen in fitting
            assert chosen.accuracy == max(row.accuracy for row in fitting if row.accuracy is not None)


def test_an_arena_for_nothing(run: PrunedRun) -> None:
    with pytest.raises(reds.UsageError, match="arena is too small"):
        reds.Runtime(run.model, arena_bytes=1)


@pytest.mark.parametrize("line", ["subnetworks epoch 1/2", "exits epoch 1/1"])
def test_an_interrupted_run_ends_as_an_unbroken_one(run: PrunedRun, tmp_path: Path, line: str) -> None:
    def power_cut(said: str) -> None:
        if said.startswith(line):
            raise PowerCutError

    with pytest.raises(PowerCutError):
        prune(small_model(), small_dataset(), tmp_path, TWO_EPOCHS, power_cut)
    keras.utils.set_random_seed(99)
    done_again: list[str] = []
    resumed = prune(small_model(), small_dataset(), tmp_path, TWO_EPOCHS, done_again.append)
    assert not any(said.startswith(("traced", "ranking")) for said in done_again)
    assert resumed.model.read_bytes() == run.model.read_bytes()


def test_the_same_run_elsewhere_gives_the_same_bytes(run: PrunedRun, tmp_path: Path) -> None:
    keras.utils.set_random_seed(7)
    again = prune(small_model(), small_dataset(), tmp_path / "elsewhere", TWO_EPOCHS)
    assert again.model.read_bytes() == run.model.read_bytes()
    assert again.accuracy == run.accuracy
