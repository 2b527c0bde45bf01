import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from reds.finetuning.statistics import estimate_batch_norms
from reds.forward import forward
from reds.graph import Family

TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


def _weights(family: Family) -> dict:
    return {node.name: node.weights for node in family.graph.nodes}


@settings(derandomize=True, deadline=None, max_examples=5)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 8))
def test_statistics_of_batches_are_those_of_all_samples_together(family: Family, sizes: list[int], width: int) -> None:
    generator = np.random.default_rng(0)
    batches = [
        generator.normal(size=(size, *family.graph.input_shape)).astype(np.float32) + index
        for index, size in enumerate(sizes)
    ]
    measured = estimate_batch_norms(family.graph, batches, _weights(family), (width, 4))["conv_bn"]
    seen = np.asarray(forward(family.graph, np.concatenate(batches), widths=(width, 4), until=0))
    np.testing.assert_allclose(measured["moving_mean"], seen.mean(axis=(0, 1, 2)), **TOLERANCE)
    np.testing.assert_allclose(measured["moving_variance"], seen.var(axis=(0, 1, 2)), **TOLERANCE)
    assert measured["gamma"].shape == measured["beta"].shape == (width,)


def test_inference_with_the_statistics_of_one_batch_is_training_on_it(family: Family) -> None:
    x = np.random.default_rng(1).normal(size=(20, *family.graph.input_shape)).astype(np.float32)
    measured = estimate_batch_norms(family.graph, [x], _weights(family), (5, 3))
    np.testing.assert_allclose(
        forward(family.graph, x, widths=(5, 3), batch_norm=measured),
        forward(family.graph, x, widths=(5, 3), training=True),
        **TOLERANCE,
    )


def test_only_what_is_run_is_measured(family: Family) -> None:
    x = np.ones((2, *family.graph.input_shape), np.float32)
    assert set(estimate_batch_norms(family.graph, [x], _weights(family), until=5)) == {"conv_bn", "dw_bn"}
