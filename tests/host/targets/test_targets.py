import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import random_supernet

from reds import cost
from reds.compiled import CompiledLayer
from reds.errors import UsageError
from reds.fold import fuse
from reds.graph import BatchMatMul, Conv2D
from reds.targets import Costs, Target, kind_of, load_target, quantities, target_names

_TWO_KINDS = {"fully_connected": 2.0, "conv2d": 3.0}


def test_a_table_comes_back_from_its_file(tmp_path: Path) -> None:
    assert "cortex-m4" in target_names()
    target = load_target("cortex-m4")
    path = tmp_path / "core.json"
    path.write_text(target.to_json())
    assert load_target(str(path)) == target


@settings(max_examples=40, derandomize=True, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_quantities_agree_with_the_cost_model(seed: int) -> None:
    """Without lanes, the `macs` of the weighted layers are the network's multiply-accumulates."""
    graph = random_supernet(seed).family.graph
    generator = np.random.default_rng(seed)
    widths = [int(generator.integers(1, group.size + 1)) for group in graph.groups]

    def channels(group: int | None, full: int) -> int:
        return full if group is None else widths[group]

    total = 0
    for layer in fuse(graph):
        inputs = channels(layer.input_group, layer.input_shape[2])
        amounts = quantities(layer, inputs, channels(layer.output_group, layer.output_shape[2]), (1, 1, 1))
        assert amounts["inside"] <= amounts["macs"]
        assert amounts["left_inside"] <= amounts["inside"]
        if isinstance(layer.operation, Conv2D) and layer.operation.padding == "valid":
            assert amounts["inside"] == amounts["macs"] == amounts["window"] * amounts["channels"]
        total += amounts["macs"] if layer.weighted else 0
    assert total == cost.macs(graph, widths)


def test_the_first_row_that_covers_an_operation_counts() -> None:
    layer = next(layer for layer in fuse(random_supernet(3).family.graph) if layer.weighted)
    rows = (
        Costs(3, None, (1, 1, 1), None, {"calls": 5.0}, 1, 0, 0),
        Costs(None, None, (1, 4, 1), None, {"channels": 2.0}, 1, 0, 0),
    )
    target = Target("core", 0.0, {kind_of(layer): rows})
    counted = target.instructions(layer, np.array([[2], [3], [4]]), np.array([1, 5]))
    np.testing.assert_array_equal(counted, [[5, 5], [5, 5], [8, 16]])


def test_a_whole_map_in_one_run_counts_as_fully_connected() -> None:
    convolution = Conv2D((2, 3))
    layer = CompiledLayer("conv", convolution, "none", -1, (2, 3, 8), (1, 1, 5), 0, np.zeros((5, 2, 3, 8), np.int8))
    rows = {kind: (Costs(None, None, (1, 1, 1), None, {"calls": cost}, 1, 0, 0),) for kind, cost in _TWO_KINDS.items()}
    counted = Target("core", 0.0, rows).instructions(layer, np.array([7, 8]), 5)
    np.testing.assert_array_equal(counted, [3, 2])


def test_lanes_round_runs_outputs_and_positions_and_blocks_gather_again() -> None:
    convolution = Conv2D((3, 3))
    layer = CompiledLayer("conv", convolution, "none", -1, (5, 5, 6), (3, 3, 9), 0, np.zeros((9, 3, 3, 6), np.int8))
    amounts = quantities(layer, np.array([5, 6]), 9, (4, 2, 2), 4)
    np.testing.assert_array_equal(amounts["macs"], [10 * 9 * 8 * 10, 10 * 56 * 10])
    np.testing.assert_array_equal(amounts["runs"], [10 * 9 * 10, 10 * 10])
    np.testing.assert_array_equal(amounts["window"], [3 * 10 * 9 * 5, 3 * 10 * 9 * 6])
    np.testing.assert_array_equal(amounts["odd_taps"], [3 * 10 * 9, 0])


@pytest.mark.parametrize("transpose_first", [False, True])
def test_a_product_of_matrices_counts_what_each_output_sums(transpose_first: bool) -> None:
    size = 3 if transpose_first else 5
    product = BatchMatMul(transpose_first, not transpose_first)
    layer = CompiledLayer("product", product, "none", (0, 0), (2, 5, 3), (2, size, size), 0, None)
    amounts = quantities(layer, 3, size, (1, 1, 1))
    assert (amounts["macs"], amounts["reads"]) == (layer.macs(3, size), 2 * 5 * 3)


def test_a_table_without_an_operation_names_the_layer() -> None:
    layer = fuse(random_supernet(3).family.graph)[0]
    with pytest.raises(UsageError, match=f"'{layer.name}'"):
        Target("core", 0.0, {}).instructions(layer, 1, 1)


@pytest.mark.parametrize(
    "content",
    [
        "no json",
        "[]",
        "{}",
        json.dumps({"name": "core", "inference": 0, "operations": {"conv2d": []}}),
        load_target("cortex-m4").to_json().replace('"calls": ', '"calls": -'),
        load_target("cortex-m4").to_json().replace('"calls"', '"joules"'),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "core.json"
    path.write_text(content)
    with pytest.raises(UsageError, match="not a cost table"):
        load_target(str(path))
