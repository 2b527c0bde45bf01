"""Whole networks beside their rivals, and what the plan costs beside the kernels."""

from dataclasses import replace
from pathlib import Path

import pytest
from networks import NETWORKS, Network, instructions, write_model
from overhead import CORE, Trace, measure
from rivals import GOALS, RIVALS, WIDTHS

from reds.inspecting import inspect

SMALL = Network("dnn_s", "int8")
BOARD = f"qemu:{CORE}"


def test_every_network_has_a_rival() -> None:
    assert {(network.architecture, network.type) for network in NETWORKS} == set(RIVALS)
    assert set(GOALS) <= set(RIVALS)
    assert {quarters for network in NETWORKS for quarters in network.quarters} == set(WIDTHS)


def test_widths_are_measured_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    write_model(replace(SMALL, quarters=(4, 2)), path)
    assert [row.macs for row in inspect(path).subnetworks] == [79_200, 29_232]
    full, half = instructions(path, BOARD)
    assert half < full


def test_the_plan_costs_less_than_a_hundredth_of_the_kernels(tmp_path: Path) -> None:
    (found,) = measure(SMALL, Trace())
    assert 0 < found.others < found.kernels / 100
    write_model(SMALL, tmp_path / "model.tflite")
    counted = instructions(tmp_path / "model.tflite", BOARD)
    assert found.kernels + found.others == pytest.approx(counted[0], rel=1e-3)
