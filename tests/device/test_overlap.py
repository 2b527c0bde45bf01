"""Outputs that overlap their inputs: kernels compute the same bytes, and what is nearer than allowed is refused."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_drawing import Draw
from model_builder import LayerSpec, NetworkBuilder, output_shape
from near_places import Side, apart, near, placed

from reds.compiled import ElementType
from reds.emitting import encode
from reds.errors import UsageError
from reds.graph import Activation, Add, Conv2D, DepthwiseConv2D, Multiply, Pair, Requantize, Shape
from reds.runtime import Runtime

SAMPLES = 2

examples = settings(max_examples=120, deadline=None, derandomize=True)
seeds = st.integers(0, (1 << 32) - 1)
sides = st.sampled_from(["before", "behind"])


def drawn_operation(draw: Draw, channels: int, element_type: ElementType) -> LayerSpec:
    """An operation that may overlap its input of so many channels."""
    kind = draw.choice(
        "conv", "conv", "grouped", "pointwise", "depthwise", "depthwise", "pool", "function", "sum", "constant"
    )
    if kind == "conv":
        return LayerSpec(draw.convolution(Conv2D), draw.size(24), draw.activation())
    if kind == "grouped":
        groups = draw.choice(*(count for count in range(1, channels + 1) if channels % count == 0))
        operation = replace(draw.convolution(Conv2D), groups=groups)
        return LayerSpec(operation, groups * draw.size(1 + 24 // groups), draw.activation())
    if kind == "pointwise":
        return LayerSpec(Conv2D((1, 1)), draw.size(140), draw.activation())
    if kind == "depthwise":
        return LayerSpec(draw.convolution(DepthwiseConv2D), activation=draw.activation())
    if kind == "pool":
        return LayerSpec(draw.pool(draw.choice("average", "max")))
    if kind == "function" and element_type is ElementType.INT16:
        return LayerSpec(draw.choice(Requantize(), Activation("relu"), Activation("softmax")))
    if kind == "function":
        return LayerSpec(draw.choice(draw.tabled(), Activation("relu6"), Activation("softmax")))
    if kind == "constant" and element_type is not ElementType.INT16:
        return LayerSpec(Multiply(spread=True), scalar=draw.choice(False, True))
    return LayerSpec(Add())


def drawn_chain(draw: Draw, shape: Shape, most: int, element_type: ElementType = ElementType.INT8) -> list[LayerSpec]:
    """Operations that may overlap their inputs, between two that do not."""
    specs = [LayerSpec(Conv2D((1, 1)), draw.choice(draw.size(24), draw.size(140)))]
    shape = (*shape[:2], specs[0].channels)
    for _ in range(most):
        spec = drawn_operation(draw, shape[2], element_type)
        if isinstance(spec.operation, Pair):
            count = 2 if isinstance(spec.operation, Add) else 1
            spec = replace(spec, inputs=(len(specs) - 1,) * count)
        if min(output_shape(spec, shape)) >= 1:
            specs.append(spec)
            shape = output_shape(spec, shape)
    return [*specs, LayerSpec(Conv2D((1, 1)), 3)]


def narrow(draw: Draw, specs: Sequence[LayerSpec]) -> list[int]:
    """Fewer channels, unless there are groups, which are fixed."""
    if any(isinstance(spec.operation, Conv2D) and spec.operation.groups > 1 for spec in specs):
        return [max(1, spec.channels) for spec in specs]
    return [draw.size(max(1, spec.channels)) for spec in specs]


@pytest.mark.parametrize("element_type", ElementType)
@examples
@given(seed=seeds, side=sides, farther=st.sampled_from([0, 0, 0, 1, 2, 5]))
def test_places_as_near_as_allowed_change_no_output(
    element_type: ElementType, seed: int, side: Side, farther: int
) -> None:
    draw = Draw(seed)
    shape = (*draw.pair(12, 12), 2)
    specs = drawn_chain(draw, shape, 4, element_type)
    builder = NetworkBuilder(element_type, shape, seed)
    network = builder.build(specs, [narrow(draw, specs)])
    x = builder.input(SAMPLES)
    with placed(apart):
        expected = Runtime(encode(network))
    with placed(near(side, farther)):
        actual = Runtime(encode(network))
    for subnetwork in (0, 1):
        expected.select(subnetwork)
        actual.select(subnetwork)
        np.testing.assert_array_equal(actual.invoke(x), expected.invoke(x))
        assert actual.guards_intact


@examples
@given(seed=seeds, side=sides, element_type=st.sampled_from(ElementType))
def test_a_nearer_place_is_refused(seed: int, side: Side, element_type: ElementType) -> None:
    draw = Draw(seed)
    shape = (*draw.pair(9, 9), 2)
    specs = drawn_chain(draw, shape, 1, element_type)
    network = NetworkBuilder(element_type, shape, seed).build(specs)
    with placed(near(side)):
        Runtime(encode(network))
    with placed(near(side, farther=-1)) as overlaps:
        model = encode(network)
    if overlaps[0]:
        with pytest.raises(UsageError, match="malformed"):
            Runtime(model)
