"""Tables of int8 activation functions equal the real TFLite Micro on all 256 inputs."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reds.compiled import CompiledLayer, CompiledNetwork, CompiledStep, CompiledSubnetwork, ElementType
from reds.emitting.standard import ModelBuilder, add_network
from reds.graph import INPUT, Activation
from reds.lookup import SIGMOID_OUTPUT, TABLED, TANH_OUTPUT, lookup_table
from reds.reference import run_tflite_micro
from reds.requantize import Quantization

INPUTS = np.arange(-128, 128).astype(np.int8)
LARGEST_EXPONENT = 12
"""Of the drawn scales; activations of a useful network are far below its 2**12 * 255."""

zero_points = st.integers(-128, 127)
exponents = st.floats(-20, LARGEST_EXPONENT, allow_nan=False)
examples = settings(derandomize=True, deadline=None, max_examples=300)


def one_operation(activation: Activation, source: Quantization, target: Quantization) -> bytes:
    """A TFLite model of the activation function alone, for 256 values."""
    shape = (1, 1, len(INPUTS))
    layer = CompiledLayer("activation", activation, "none", (INPUT,), shape, shape, 0, None)
    step = CompiledStep(0, len(INPUTS), len(INPUTS), (source,), target, None, None)
    subnetwork = CompiledSubnetwork("full", 0, (), (step,))
    network = CompiledNetwork("one", ElementType.INT8, (len(INPUTS),), (len(INPUTS),), (layer,), (), (subnetwork,))
    model = ModelBuilder("one")
    add_network(model, network, subnetwork)
    return model.encode()


def check(activation: Activation, source: Quantization, target: Quantization) -> None:
    model = one_operation(activation, source, target)
    table = lookup_table(activation, source, target)
    found = table[INPUTS.view(np.uint8)]
    np.testing.assert_array_equal(found, run_tflite_micro(model, INPUTS[np.newaxis])[0])


def scale(exponent: float) -> np.float32:
    return np.float32(2.0**exponent)


@examples
@given(exponents, zero_points)
@example(math.log2(16), 0)
@example(LARGEST_EXPONENT, -128)
def test_sigmoid(exponent: float, zero_point: int) -> None:
    check(Activation("sigmoid"), Quantization(scale(exponent), zero_point), SIGMOID_OUTPUT)


@examples
@given(exponents, zero_points)
@example(math.log2(16), 0)
@example(LARGEST_EXPONENT, -128)
def test_tanh(exponent: float, zero_point: int) -> None:
    check(Activation("tanh"), Quantization(scale(exponent), zero_point), TANH_OUTPUT)


@examples
@given(exponents, zero_points, st.floats(-15, 20), zero_points, st.floats(0, 4, width=32))
@example(-5.0, 3, 0.0, -7, 0.0)
def test_leaky_relu(exponent: float, zero_point: int, ratio: float, target: int, slope: float) -> None:
    output = Quantization(scale(exponent - ratio + 0.0), target)
    check(Activation("leaky_relu", slope), Quantization(scale(exponent), zero_point), output)


def test_factors_of_leaky_relu_are_made_in_double_precision() -> None:
    """In single precision, 21 units of the input are 11.49999994 of the output instead of 11.50000051."""
    source = Quantization(np.float32(float.fromhex("0x1.8b39dap-6")), 57)
    output = Quantization(np.float32(float.fromhex("0x1.68dbc6p-5")), 51)
    check(Activation("leaky_relu", 0.12), source, output)


@examples
@given(exponents, zero_points, st.floats(-24, 6), zero_points)
def test_hard_swish(exponent: float, zero_point: int, ratio: float, target: int) -> None:
    output = Quantization(scale(exponent - ratio), target)
    check(Activation("hard_swish"), Quantization(scale(exponent), zero_point), output)


def test_the_factor_of_hard_swish_is_made_in_double_precision() -> None:
    """In single precision it would be 25292 in 15 bits instead of 25291, and input 55 one unit more of the output."""
    source = Quantization(np.float32(0.023109766), -21)
    check(Activation("hard_swish"), source, Quantization(np.float32(0.029941317), 40))


@examples
@given(exponents, zero_points, st.floats(-20, 20), zero_points)
@example(-5.0, 3, 0.0, -7)
def test_relu(exponent: float, zero_point: int, ratio: float, target: int) -> None:
    output = Quantization(scale(exponent - ratio), target)
    check(Activation("relu"), Quantization(scale(exponent), zero_point), output)


def test_other_functions_have_no_table() -> None:
    with pytest.raises(ValueError, match=TABLED[0]):
        lookup_table(Activation("softmax"), SIGMOID_OUTPUT, SIGMOID_OUTPUT)
