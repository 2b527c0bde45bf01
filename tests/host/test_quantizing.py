"""Compiling to int8: shared weights, one input and output, and refusals."""

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from random_networks import random_supernet

from reds.compiled import CompiledNetwork
from reds.emitting import encode
from reds.errors import UsageError
from reds.forward import predict
from reds.graph import Family, Graph, Node, Subnetwork, Supernet
from reds.quantizing import quantize
from reds.reference import run_tflite_micro
from reds.requantize import Quantization
from reds.runtime import Runtime
from reds.tracing import trace


def samples_of(supernet: Supernet, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (scale * generator.standard_normal((40, *supernet.family.graph.input_shape))).astype(np.float32)


def with_weight(supernet: Supernet, value: float) -> Supernet:
    """The family with one weight of its first weighted node replaced."""
    graph = supernet.family.graph
    index = next(index for index, node in enumerate(graph.nodes) if "kernel" in node.weights)
    nodes = list(graph.nodes)
    nodes[index] = changed(nodes[index], value)
    graph = Graph(graph.name, graph.input_shape, graph.output_shape, tuple(nodes), graph.groups)
    return replace(supernet, family=replace(supernet.family, graph=graph))


def changed(node: Node, value: float) -> Node:
    kernel = node.weights["kernel"].copy()
    kernel.flat[0] = value
    return replace(node, weights={**node.weights, "kernel": kernel})


def int8_of(seed: int) -> tuple[Supernet, CompiledNetwork]:
    supernet = random_supernet(seed)
    return supernet, quantize(supernet, "int8", samples_of(supernet, seed))


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_input_and_output_are_the_same_in_every_subnetwork(seed: int) -> None:
    _, network = int8_of(seed)
    assert len({(s.steps[0].input_quantization, s.steps[-1].output_quantization) for s in network.subnetworks}) == 1
    for index, subnetwork in enumerate(network.subnetworks):
        written = [subnetwork.steps[0].input_quantization, *(step.output_quantization for step in subnetwork.steps)]
        for step, read in zip(subnetwork.steps, network.tensors_read(index), strict=True):
            assert step.input_quantizations == tuple(written[tensor] for tensor in read)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_int8_outputs_are_near_the_float_ones(seed: int) -> None:
    """Of the full network, whose ranges its own calibration covers; a wrong scale would be far off."""
    supernet, network = int8_of(seed)
    samples = samples_of(supernet, seed)
    exact = Runtime(encode(quantize(supernet, "float32"))).invoke(samples)
    runtime = Runtime(encode(network))
    found = runtime.dequantize(runtime.invoke(runtime.quantize(samples)))
    span = float(exact.max() - exact.min())
    assert np.abs(found - exact).mean() <= 0.1 * span + 2 / 256


@pytest.mark.parametrize("scale", [0.0, 1e-42, 1e-12, 1e6])
def test_extreme_inputs_still_make_a_model_that_libreds_takes(scale: float) -> None:
    for seed in range(8):
        supernet = random_supernet(seed)
        network = quantize(supernet, "int8", samples_of(supernet, seed, scale))
        runtime = Runtime(encode(network))
        runtime.invoke(runtime.quantize(samples_of(supernet, seed, scale)))


def test_inputs_that_int8_arithmetic_cannot_shrink_are_refused_before_a_file_is_written() -> None:
    supernet = random_supernet(5)
    network = quantize(supernet, "int8", samples_of(supernet, scale=1e12))
    with pytest.raises(UsageError, match="Scale the network's inputs"):
        encode(network)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_and_samples_that_are_not_finite(value: float) -> None:
    supernet = random_supernet(1)
    samples = samples_of(supernet)
    name = next(node.name for node in supernet.family.graph.nodes if "kernel" in node.weights)
    for type in ("int8", "float32"):
        with pytest.raises(UsageError, match=f"Layer '{name}' has weights"):
            quantize(with_weight(supernet, value), type, samples)
    samples.flat[0] = value
    with pytest.raises(UsageError, match="finite"):
        quantize(supernet, "int8", samples)


def test_statistics_that_are_not_finite() -> None:
    supernet = next(s for s in map(random_supernet, range(100)) if s.batch_norms[1])
    name, weights = next(iter(supernet.batch_norms[1].items()))
    broken = {**weights, "moving_mean": np.full_like(weights["moving_mean"], np.nan)}
    batch_norms = list(supernet.batch_norms)
    batch_norms[1] = {**batch_norms[1], name: broken}
    with pytest.raises(UsageError, match=f"Layer '{name}' has weights"):
        quantize(replace(supernet, batch_norms=tuple(batch_norms)), "float32")


def test_wrong_arguments() -> None:
    supernet = random_supernet(1)
    for type in ("int4", "int16"):
        with pytest.raises(UsageError, match="`type` must be"):
            quantize(supernet, type)
    with pytest.raises(UsageError, match="`calibration` must hold input samples"):
        quantize(supernet, "int8")
    with pytest.raises(UsageError, match="`calibration` must hold input samples"):
        quantize(supernet, "int8", samples_of(supernet)[:0])
    with pytest.raises(UsageError, match="`calibration` must have shape"):
        quantize(supernet, "int8", np.zeros((3, 99), np.float32))


def joined(*middle: Callable[[keras.KerasTensor], keras.KerasTensor]) -> Supernet:
    """A network of one subnetwork that joins what functions make of its convolution."""
    inputs = layers.Input((4, 4, 3))
    x = layers.Conv2D(5, 1, name="conv")(inputs)
    outputs = layers.Conv2D(2, 4, name="classes")(layers.Concatenate(name="join")([part(x) for part in middle]))
    graph = trace(keras.Model(inputs, layers.Flatten()(outputs)))
    widths = tuple(group.size for group in graph.groups)
    return Supernet(Family(graph, (), (), (Subnetwork("full", widths),)), ({},))


def test_what_is_joined_has_one_quantisation_for_the_values_of_all() -> None:
    loud = layers.Conv2D(3, 1, kernel_initializer=keras.initializers.Constant(9.0), name="loud")
    supernet = joined(loud, layers.MaxPooling2D(2, 1, padding="same"))
    network = quantize(supernet, "int8", samples_of(supernet))
    steps = {network.layers[step.layer].name: step for step in network.subnetworks[0].steps}
    shared = steps["join"].output_quantization
    assert steps["join"].input_quantizations == (shared, shared)
    assert steps["conv"].output_quantization == steps["loud"].output_quantization == shared
    alone = predict(supernet.family.graph, samples_of(supernet), until=1)
    assert shared == Quantization.from_range(float(alone.min()), float(alone.max()))


def test_a_softmax_joined_with_other_values_is_refused() -> None:
    supernet = joined(layers.Softmax(name="softmax"), lambda x: x)
    with pytest.raises(UsageError, match=r"'softmax'.*joined"):
        quantize(supernet, "int8", samples_of(supernet))


def test_a_sum_that_cancels_still_has_a_scale_that_tflite_micro_takes() -> None:
    inputs = layers.Input((2, 2, 1))
    kernels = (keras.initializers.Constant(value) for value in (1.0, -1.0))
    plus, minus = (layers.Conv2D(1, 1, kernel_initializer=kernel)(inputs) for kernel in kernels)
    graph = trace(keras.Model(inputs, layers.Conv2D(1, 2)(layers.Add(name="add")([plus, minus]))))
    supernet = Supernet(Family(graph, (), (), (Subnetwork("full", (1,)),)), ({},))
    content = encode(quantize(supernet, "int8", 1e6 * samples_of(supernet)))
    x = np.random.default_rng(0).integers(-128, 128, (4, 2, 2, 1), np.int8)
    np.testing.assert_array_equal(Runtime(content).invoke(x), run_tflite_micro(content, x))
