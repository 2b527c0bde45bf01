"""The plan's limits, its ranking, and what `annotate` writes into a file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from random_networks import random_supernet

from reds.compiled import (
    CompiledExit,
    CompiledLayer,
    CompiledNetwork,
    CompiledStep,
    CompiledSubnetwork,
    ElementType,
)
from reds.emitting import annotate, emit, encode
from reds.errors import UsageError
from reds.graph import INPUT, Conv2D
from reds.inspecting import inspect
from reds.model_file import read_model_file
from reds.plan import ConstantPool, TargetCosts
from reds.quantizing import quantize
from reds.requantize import Quantization
from reds.runtime import Runtime
from reds.windows import geometry


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with three widths and an exit, nothing measured."""
    supernet = next(s for s in map(random_supernet, range(100)) if len(s.family.subnetworks) == 4)
    samples = np.random.default_rng(0).standard_normal((32, *supernet.family.graph.input_shape), np.float32)
    return emit(supernet, tmp_path / "model.tflite", "int8", samples)


def ranking(path: Path) -> list[int]:
    return [rank.subnetwork for rank in read_model_file(path).plan.ranking]


def test_equal_blocks_are_stored_once_and_padded_to_words() -> None:
    pool = ConstantPool()
    first = pool.add(np.array([1, 2], np.int32), np.array([3], np.int8))
    second = pool.add(np.array([9], np.int32))
    assert pool.add(np.array([1, 2], np.int32), np.array([3], np.int8)) == first == (0, 3)
    assert second == (3, 1)
    np.testing.assert_array_equal(pool.array(), [1, 2, 3, 9])


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "padding"),
    [(5, 3, 1, 1, 1), (5, 2, 1, 1, 0), (6, 3, 2, 1, 0), (5, 3, 2, 1, 1), (7, 3, 1, 2, 2), (4, 1, 2, 1, 0)],
)
def test_same_padding_starts_with_the_smaller_half(
    size: int, kernel: int, stride: int, dilation: int, padding: int
) -> None:
    operation = Conv2D((kernel, kernel), (stride, stride), "same", (dilation, dilation))
    out = -(-size // stride)
    layer = CompiledLayer("conv", operation, "none", (INPUT,), (size, size, 1), (out, out, 1), 0, None)
    assert geometry(layer).padding == (padding, padding)


def test_unmeasured_files_rank_by_multiply_accumulates(path: Path) -> None:
    macs = [row.macs for row in inspect(path).subnetworks]
    assert [macs[index] for index in ranking(path)] == sorted(macs, reverse=True)


def test_annotating_ranks_anew_and_libreds_still_takes_the_file(path: Path) -> None:
    plain = Runtime(path)
    x = np.random.default_rng(1).integers(-128, 128, (4, *plain.input.shape), np.int8)
    plain.select(0)
    before = plain.invoke(x)
    annotate(path, accuracy=(0.5, 0.9, 0.7, 0.9))
    macs = [row.macs for row in inspect(path).subnetworks]
    equals = sorted((1, 3), key=lambda index: macs[index])
    assert ranking(path) == [*equals, 2, 0]
    annotated = Runtime(path)
    assert annotated.selected == equals[0]
    annotated.select(0)
    np.testing.assert_array_equal(annotated.invoke(x), before)
    annotated.set_budget()
    assert annotated.selected == equals[0]
    assert [info.accuracy for info in annotated.subnetworks] == pytest.approx([0.5, 0.9, 0.7, 0.9])


def test_targets_are_added_and_replaced_by_name(path: Path) -> None:
    annotate(path, targets=(TargetCosts("cortex-m4", False, (4, 3, 2, 1)),))
    annotate(path, targets=(TargetCosts("cortex-m7", True, (8, 7, 6, 5)),))
    annotate(path, targets=(TargetCosts("cortex-m4", True, (40, 30, 20, 10)),))
    targets = [row.targets for row in inspect(path).subnetworks]
    assert [row["cortex-m4"].instructions for row in targets] == [40, 30, 20, 10]
    assert [row["cortex-m7"].instructions for row in targets] == [8, 7, 6, 5]
    assert targets[0]["cortex-m4"].measured
    assert [info.instructions for info in Runtime(path, target="cortex-m7").subnetworks] == [8, 7, 6, 5]


def test_annotating_again_with_the_same_numbers_changes_no_byte(path: Path) -> None:
    annotate(path, accuracy=(0.5, 0.9, 0.7, None))
    content = path.read_bytes()
    annotate(path, accuracy=(0.5, 0.9, 0.7, None))
    assert path.read_bytes() == content
    assert inspect(path).subnetworks[3].accuracy is None


def test_a_size_that_the_format_cannot_hold() -> None:
    network = quantize(random_supernet(4), "float32")
    wide = replace(network.layers[0], input_shape=(70_000, *network.layers[0].input_shape[1:]))
    with pytest.raises(UsageError, match="size of 70000"):
        encode(replace(network, layers=(wide, *network.layers[1:])))


def test_sums_that_could_overflow_are_refused() -> None:
    taps = 300 * 300 * 2
    weights = np.zeros((1, 300, 300, 2), np.int8)
    layer = CompiledLayer("wide", Conv2D((300, 300)), "none", (INPUT,), (300, 300, 2), (1, 1, 1), 0, weights)
    one = Quantization(np.float32(1), 0)
    step = CompiledStep(0, 2, 1, (one,), one, np.ones(1, np.float32), np.zeros(1, np.int32))
    network = CompiledNetwork(
        "net",
        ElementType.INT8,
        (300, 300, 2),
        (1,),
        (layer,),
        (CompiledExit("output", 0),),
        (CompiledSubnetwork("full", 0, (), (step,)),),
    )
    with pytest.raises(UsageError, match=f"'wide' sums {taps} products"):
        encode(network)
