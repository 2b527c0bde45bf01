"""What cannot be adopted is refused in one sentence that names it; no bytes lead to anything else."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as tflite
from converted_models import convert, converted
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from reds.adopting import with_plan
from reds.emitting.standard import pack_again
from reds.errors import UsageError
from reds.reference import run_tflite_micro
from reds.runtime import Runtime
from reds.verifying import random_inputs

Change = Callable[[tflite.ModelT], Any]


def changed(content: bytes, change: Change) -> bytes:
    """A TFLite file with something else in it."""
    model = tflite.ModelT.InitFromPackedBuf(content)
    change(model)
    return pack_again(model, content)


def operators(model: tflite.ModelT, builtin: int) -> list[tflite.OperatorT]:
    codes = [code.builtinCode for code in model.operatorCodes]
    return [operator for operator in model.subgraphs[0].operators if codes[operator.opcodeIndex] == builtin]


def set_option(builtin: int, **fields: object) -> Change:
    """Changes options of the first operator of a kind."""
    return lambda model: vars(operators(model, builtin)[0].builtinOptions).update(fields)


def set_tensor(builtin: int, position: int, **fields: object) -> Change:
    """Changes an input of the first operator of a kind, or with position -1 its output."""

    def change(model: tflite.ModelT) -> None:
        operator = operators(model, builtin)[0]
        index = operator.outputs[0] if position < 0 else operator.inputs[position]
        vars(model.subgraphs[0].tensors[index]).update(fields)

    return change


def set_quantization(builtin: int, position: int, **fields: object) -> Change:
    """Changes the quantisation of an input of the first operator of a kind, or with position -1 of its output."""

    def change(model: tflite.ModelT) -> None:
        operator = operators(model, builtin)[0]
        index = operator.outputs[0] if position < 0 else operator.inputs[position]
        vars(model.subgraphs[0].tensors[index].quantization).update(fields)

    return change


def set_code(builtin: int, other: int) -> Change:
    """Makes all operators of a kind another one."""

    def change(model: tflite.ModelT) -> None:
        for code in model.operatorCodes:
            if code.builtinCode == builtin:
                code.builtinCode, code.deprecatedBuiltinCode = other, min(other, 127)

    return change


def set_subgraph(**fields: object) -> Change:
    return lambda model: vars(model.subgraphs[0]).update(fields)


def set_inputs(builtin: int, *inputs: int) -> Change:
    return lambda model: vars(operators(model, builtin)[0]).update(inputs=np.array(inputs, np.int32))


def repeat_subgraph(model: tflite.ModelT) -> None:
    model.subgraphs = [*model.subgraphs, *model.subgraphs]


CONV, DENSE, POOL = (
    tflite.BuiltinOperator.CONV_2D,
    tflite.BuiltinOperator.FULLY_CONNECTED,
    tflite.BuiltinOperator.MAX_POOL_2D,
)
DEPTHWISE, ADD, JOIN = (
    tflite.BuiltinOperator.DEPTHWISE_CONV_2D,
    tflite.BuiltinOperator.ADD,
    tflite.BuiltinOperator.CONCATENATION,
)
SOFTMAX, PAD, RESHAPE = tflite.BuiltinOperator.SOFTMAX, tflite.BuiltinOperator.PAD, tflite.BuiltinOperator.RESHAPE
FUSED = tflite.ActivationFunctionType
INT8_ZERO_POINTS = np.array([3, 0, 0, 0, 0], np.int64)

REFUSED = {
    "an unknown operator": ("plain", "int8", set_code(POOL, tflite.BuiltinOperator.L2_POOL_2D), "L2_POOL_2D"),
    "a custom operator": ("plain", "int8", set_code(POOL, tflite.BuiltinOperator.CUSTOM), "CUSTOM"),
    "an operator of the future": ("plain", "int8", set_code(POOL, 9999), "9999"),
    "several subgraphs": ("plain", "int8", repeat_subgraph, "2 subgraphs"),
    "several inputs": ("plain", "int8", set_subgraph(inputs=np.array([0, 1], np.int32)), "2 inputs"),
    "no output": ("plain", "int8", set_subgraph(outputs=np.array([], np.int32)), "0 outputs"),
    "output of an earlier operator": ("plain", "int8", set_subgraph(outputs=np.array([14], np.int32)), "the last"),
    "output that nobody writes": ("plain", "int8", set_subgraph(outputs=np.array([0], np.int32)), "the last"),
    "a batch": ("plain", "int8", set_tensor(CONV, 0, shape=np.array([2, 12, 12, 3], np.int32)), "batch"),
    "a size that is not known": (
        "plain",
        "int8",
        set_tensor(CONV, 0, shapeSignature=np.array([-1, -1, 12, 3], np.int32)),
        "fixed shape",
    ),
    "an input of bytes": ("plain", "int8", set_tensor(CONV, 0, type=tflite.TensorType.UINT8), "UINT8"),
    "an input of words": ("plain", "int8", set_tensor(CONV, 0, type=tflite.TensorType.INT16), "INT16"),
    "another type on the way": ("plain", "int8", set_tensor(CONV, -1, type=tflite.TensorType.FLOAT32), "FLOAT32"),
    "hybrid weights": ("plain", "float32", set_tensor(DENSE, 1, type=tflite.TensorType.INT8), "hybrid"),
    "half precision weights": ("plain", "float32", set_tensor(DENSE, 1, type=tflite.TensorType.FLOAT16), "FLOAT16"),
    "sparse weights": ("plain", "int8", set_tensor(DENSE, 1, sparsity=tflite.SparsityParametersT()), "sparse"),
    "computed weights": ("plain", "float32", set_tensor(CONV, 1, buffer=1), "constant"),
    "weights in buffer 0": ("plain", "float32", set_tensor(CONV, 1, buffer=0), "constant"),
    "a buffer that is not there": ("plain", "float32", set_tensor(CONV, 1, buffer=99), "buffer 99"),
    "asymmetric weights": ("plain", "int8", set_quantization(DENSE, 1, zeroPoint=INT8_ZERO_POINTS), "asymmetric"),
    "scales of another axis": ("plain", "int8", set_quantization(CONV, 1, quantizedDimension=1), "output channel"),
    "scales that are not finite": (
        "plain",
        "int8",
        set_quantization(CONV, 1, scale=np.full(8, np.inf, np.float32)),
        "not finite",
    ),
    "an activation without a scale": ("plain", "int8", set_quantization(CONV, -1, scale=None), "one scale"),
    "a zero point that no int8 is": ("plain", "int8", set_quantization(CONV, -1, zeroPoint=np.array([200])), "200"),
    "a bias of another type": ("plain", "int8", set_tensor(CONV, 2, type=tflite.TensorType.FLOAT32), "bias"),
    "an activation that is not fused": ("plain", "int8", set_option(CONV, fusedActivationFunction=4), "TANH"),
    "one of its numbers": ("plain", "int8", set_option(CONV, fusedActivationFunction=77), "77"),
    "shuffled weights": ("plain", "int8", set_option(DENSE, weightsFormat=1), "shuffled"),
    "a window that does not fit": ("plain", "int8", set_option(CONV, strideH=3), "window"),
    "a stride of 0": ("plain", "int8", set_option(POOL, strideW=0), "stride"),
    "a groups convolution": ("plain", "int8", set_tensor(CONV, 1, shape=np.array([8, 3, 9, 1], np.int32)), "groups"),
    "a multiplier that is not one": ("separable", "int8", set_option(DEPTHWISE, depthMultiplier=3), "multiplier"),
    "missing weights": ("plain", "int8", set_inputs(CONV, 0), "no input 1"),
    "a tensor that is not there": ("plain", "int8", set_inputs(CONV, 0, 99), "99"),
    "a read before the write": ("plain", "int8", set_inputs(SOFTMAX, 15), "not computed before"),
    "a softmax of another base": ("plain", "int8", set_option(SOFTMAX, beta=2.0), "beta"),
    "a softmax of another scale": (
        "plain",
        "int8",
        set_quantization(SOFTMAX, -1, scale=np.array([0.5], np.float32)),
        "fixes",
    ),
    "a softmax of tiny values": (
        "plain",
        "int8",
        set_quantization(SOFTMAX, 0, scale=np.array([1e-12], np.float32)),
        "too small",
    ),
    "shapes that are not equal": ("residual", "int8", set_inputs(ADD, 16, 20), "takes the shapes"),
    "a sum with what comes later": ("residual", "int8", set_inputs(ADD, 16, 22), "not computed before"),
    "a fused concatenation": ("residual", "int8", set_option(JOIN, fusedActivationFunction=FUSED.RELU), "fused"),
    "what is joined does not fit": ("residual", "int8", set_option(JOIN, axis=1), "joins"),
    "quantisations that differ": (
        "residual",
        "int8",
        set_quantization(JOIN, -1, zeroPoint=np.array([5], np.int64)),
        "the same for both",
    ),
    "another number of elements": (
        "reshaped",
        "int8",
        set_tensor(RESHAPE, -1, shape=np.array([1, 4, 4, 4], np.int32)),
        "batch of 1",
    ),
    "no options": (
        "plain",
        "int8",
        lambda model: vars(operators(model, CONV)[0]).update(builtinOptions=None),
        "Options",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    name, type, change, told = REFUSED[case]
    with pytest.raises(UsageError, match=r"^'model' ") as caught:
        with_plan(changed(converted(name, type), change))
    sentence = str(caught.value)
    assert told in sentence
    assert sentence.endswith(".") and "\n" not in sentence


def test_an_unsupported_operator_is_named_with_its_place_and_what_is_supported() -> None:
    content = changed(converted("plain", "int8"), set_code(POOL, tflite.BuiltinOperator.L2_POOL_2D))
    with pytest.raises(UsageError, match=r"operator 1 \(L2_POOL_2D\), which writes '.*MaxPool2d'.*CONV_2D"):
        with_plan(content)


def test_a_file_is_adopted_once() -> None:
    with pytest.raises(UsageError, match="already"):
        with_plan(with_plan(converted("plain", "int8")))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"inference_input_type": tf.float32, "inference_output_type": tf.float32}, "inference_input_type"),
        ({"representative_dataset": None, "inference_input_type": tf.float32}, "hybrid"),
    ],
)
def test_other_conversions_of_the_converter(options: dict[str, object], told: str) -> None:
    source = keras.Input((8,))
    model = keras.Model(source, layers.Dense(600)(layers.Dense(300)(source)))
    supported = tf.lite.TargetSpec(supported_ops=[tf.lite.OpsSet.TFLITE_BUILTINS])
    content = convert(model, "int8", **{"target_spec": supported, "inference_output_type": tf.float32} | options)
    with pytest.raises(UsageError, match=told):
        with_plan(content)


SMALL = converted("vectors", "int8")


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(0, len(SMALL) - 1))
def test_every_cut_is_a_usage_error_or_a_whole_model(length: int) -> None:
    adopts_or_refuses(SMALL[:length])


@settings(derandomize=True, deadline=None, max_examples=400)
@given(st.integers(0, len(SMALL) - 1), st.integers(0, 255))
def test_every_other_byte_is_a_usage_error_or_another_model(position: int, byte: int) -> None:
    content = bytearray(SMALL)
    content[position] = byte
    adopts_or_refuses(bytes(content))


def adopts_or_refuses(content: bytes) -> None:
    """What is adopted opens in libreds, and runs."""
    try:
        adopted = with_plan(content)
    except UsageError as error:
        assert "\n" not in str(error)
        return
    Runtime(adopted).invoke(random_inputs(adopted, 1))


def test_the_small_model_is_whole() -> None:
    """What is cut and changed above."""
    inputs = random_inputs(with_plan(SMALL), 5)
    np.testing.assert_array_equal(Runtime(with_plan(SMALL)).invoke(inputs), run_tflite_micro(SMALL, inputs))
