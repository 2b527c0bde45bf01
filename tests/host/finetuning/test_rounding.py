"""The rounded network in float is the int8 network: libreds is the oracle."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from keras import ops
from random_networks import random_supernet

from reds import cost
from reds.emitting import emit
from reds.finetuning.evaluation import evaluate
from reds.finetuning.rounding import grid_table, round_to_grid, rounded_forward
from reds.finetuning.weights import weights_of
from reds.forward import ends_with_softmax
from reds.graph import Supernet
from reds.quantizing import SubnetworkGrids, activation_grids
from reds.runtime import Runtime

NETWORKS = 30


def _outputs(supernet: Supernet, index: int, x: np.ndarray, grids: SubnetworkGrids) -> np.ndarray:
    family, batch_norm = supernet.family, supernet.batch_norms[index]
    chosen, graph = family.subnetworks[index], family.graph
    tap = family.exits[chosen.exit - 1].tap if chosen.exit else None
    table = grid_table(graph, grids)
    outputs = rounded_forward(graph, x, weights_of(graph), chosen.widths, batch_norm, table, tap)
    if tap is not None:
        source = graph.nodes[tap].name
        graph = family.exits[chosen.exit - 1].head
        table = grid_table(graph, grids, source)
        outputs = rounded_forward(graph, outputs, weights_of(graph), cost.full_widths(graph), batch_norm, table)
    return np.asarray(ops.softmax(outputs, axis=-1) if ends_with_softmax(graph) else outputs)


def test_outputs_are_those_of_libreds() -> None:
    """On random networks to a tenth of a step; roundings at ties differ, and they add up along the layers."""
    rounded, unrounded = zip(*(_differences(seed) for seed in range(NETWORKS)), strict=True)
    assert np.mean(np.concatenate(rounded)) < 0.1
    assert np.mean(np.concatenate(rounded)) < np.mean(np.concatenate(unrounded)) / 4


def _differences(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """How far the rounded and the float outputs of all subnetworks are from the int8 ones, in steps of the output."""
    supernet = random_supernet(seed)
    x = np.random.default_rng(seed).standard_normal((40, *supernet.family.graph.input_shape)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        runtime = Runtime(emit(supernet, Path(folder) / "model.tflite", "int8", x))
    quantization = runtime.output_quantization
    assert quantization is not None
    inputs = runtime.quantize(x)
    rounded, unrounded = [], []
    for index, grids in enumerate(activation_grids(supernet, x)):
        runtime.select(index)
        expected = runtime.invoke(inputs).ravel().astype(int)
        for outputs, differences in (
            (_outputs(supernet, index, x, grids), rounded),
            (evaluate(supernet, index, x), unrounded),
        ):
            differences.append(np.abs(quantization.quantize(outputs).ravel().astype(int) - expected))
    return np.concatenate(rounded), np.concatenate(unrounded)


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0, 0.0), (0.24, 0.0), (0.26, 0.5), (-0.6, -0.5), (9.0, 2.0), (-9.0, -1.0)]
)
def test_values_go_to_the_nearest_on_the_grid(value: float, expected: float) -> None:
    assert float(round_to_grid(ops.array([value]), np.array([0.5, -1.0, 2.0], np.float32))[0]) == expected
