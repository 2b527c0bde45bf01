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


def set_constant(builtin: int, position: int, *values: int) -> Change:
    """Changes the numbers of an input of the first operator of a kind."""

    def change(model: tflite.ModelT) -> None:
        tensor = model.subgraphs[0].tensors[operators(model, builtin)[0].inputs[position]]
        model.buffers[tensor.buffer].data = np.array(values, np.int32).view(np.uint8)

    return change


def multiply_a_vector(model: tflite.ModelT) -> None:
    """Gives the first product of matrices something with one dimension."""
    operator = operators(model, MATMUL)[0]
    vector = next(i for i, tensor in enumerate(model.subgraphs[0].tensors) if len(tensor.shape) == 1)
    operator.inputs = np.array([vector, operator.inputs[1]], np.int32)


def set_subgraph(**fields: object) -> Change:
    return lambda model: vars(model.subgraphs[0]).update(fields)


def set_inputs(builtin: int, *inputs: int) -> Change:
    return lambda model: vars(operators(model, builtin)[0]).update(inputs=np.array(inputs, np.int32))


def swap_inputs(builtin: int) -> Change:
    """Exchanges the first two inputs of the first operator of a kind."""

    def change(model: tflite.ModelT) -> None:
        operator = operators(model, builtin)[0]
        operator.inputs = operator.inputs[[1, 0]]

    return change


def all_of(*changes: Change) -> Change:
    return lambda model: [change(model) for change in changes]


def repeat_subgraph(model: tflite.ModelT) -> None:
    model.subgraphs = [*model.subgraphs, *model.subgraphs]


def quantize_twice(model: tflite.ModelT) -> None:
    """Makes integers again of the bytes that were computed."""
    subgraph = model.subgraphs[0]
    first, last = operators(model, tflite.BuiltinOperator.QUANTIZE)
    again = tflite.OperatorT()
    again.opcodeIndex, again.inputs, again.outputs = first.opcodeIndex, last.outputs, last.inputs
    subgraph.operators.append(again)


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
MEAN, MUL, SUB = tflite.BuiltinOperator.MEAN, tflite.BuiltinOperator.MUL, tflite.BuiltinOperator.SUB
PRELU, QUANTIZE = tflite.BuiltinOperator.PRELU, tflite.BuiltinOperator.QUANTIZE
RESIZE, TRANSPOSED = tflite.BuiltinOperator.RESIZE_NEAREST_NEIGHBOR, tflite.BuiltinOperator.TRANSPOSE_CONV
SLICE, TRANSPOSE = tflite.BuiltinOperator.STRIDED_SLICE, tflite.BuiltinOperator.TRANSPOSE
MATMUL = tflite.BuiltinOperator.BATCH_MATMUL
LARGEST, PACK, UNPACK = (
    tflite.BuiltinOperator.REDUCE_MAX,
    tflite.BuiltinOperator.PACK,
    tflite.BuiltinOperator.UNPACK,
)
SPLIT = tflite.BuiltinOperator.SPLIT
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
    "one position less a map": ("excited", "int8", swap_inputs(SUB), "as the second"),
    "a sum with one channel": (
        "excited",
        "int8",
        set_tensor(ADD, 0, shape=np.array([1, 6, 1, 1], np.int32)),
        "takes the shapes",
    ),
    "a fused tanh of a product": ("pairs", "int8", set_option(MUL, fusedActivationFunction=FUSED.TANH), "TANH"),
    "an average over rows": ("excited", "int8", set_constant(MEAN, 1, 1, 1), "other axes"),
    "an average over the channels": ("excited", "int8", set_constant(MEAN, 1, 1, 3), "other axes"),
    "an average over what is computed": ("excited", "int8", set_tensor(MEAN, 1, buffer=0), "constant"),
    "an average over real axes": ("excited", "int8", set_tensor(MEAN, 1, type=tflite.TensorType.FLOAT32), "integers"),
    "an average of another shape": (
        "excited",
        "int8",
        set_tensor(MEAN, -1, shape=np.array([1, 1, 1, 5], np.int32)),
        "output has the shape",
    ),
    "a slope for each row": ("pairs", "int8", set_tensor(PRELU, 1, shape=np.array([4, 1, 1], np.int32)), "slopes"),
    "asymmetric slopes": ("pairs", "int8", set_quantization(PRELU, 1, zeroPoint=np.array([3])), "asymmetric"),
    "slopes of several scales": (
        "pairs",
        "int8",
        set_quantization(PRELU, 1, scale=np.ones(4, np.float32)),
        "one scale",
    ),
    "computed slopes": ("pairs", "float32", set_tensor(PRELU, 1, buffer=0), "constant"),
    "bytes that are requantised": ("pairs", "int8", set_tensor(QUANTIZE, 0, type=tflite.TensorType.UINT8), "UINT8"),
    "a requantisation to tiny values": (
        "pairs",
        "int8",
        set_quantization(QUANTIZE, -1, scale=np.array([1e-12], np.float32)),
        "too small",
    ),
    "a resize of the channels": (
        "enlarged",
        "int8",
        set_tensor(RESIZE, -1, shape=np.array([1, 8, 9, 5], np.int32)),
        "other channels",
    ),
    "a resize that requantises": (
        "enlarged",
        "int8",
        set_quantization(RESIZE, -1, zeroPoint=np.array([5], np.int64)),
        "the same for both",
    ),
    "a transposed stride of 0": ("decoder", "int8", set_option(TRANSPOSED, strideH=0), "stride"),
    "a transposed window that does not fit": ("decoder", "int8", set_option(TRANSPOSED, strideH=3), "window"),
    "a transposed convolution with a fused tanh": (
        "decoder",
        "int8",
        set_option(TRANSPOSED, fusedActivationFunction=FUSED.TANH),
        "TANH",
    ),
    "a transposed convolution with other weights": (
        "decoder",
        "int8",
        set_tensor(TRANSPOSED, 1, shape=np.array([6, 3, 9, 1], np.int32)),
        "weights",
    ),
    "a slice of every second column": ("sliced", "int8", set_constant(SLICE, 3, 1, 1, 2, 1), "strides"),
    "a slice of no step": ("sliced", "int8", set_constant(SLICE, 3, 1, 1, 0, 1), "strides"),
    "a slice without a dimension": ("sliced", "int8", set_option(SLICE, shrinkAxisMask=2), "dimensions"),
    "a slice to another end": ("sliced", "int8", set_constant(SLICE, 2, 0, 0, 0, 2), "ends"),
    "a slice to what is computed": ("sliced", "int8", set_tensor(SLICE, 2, buffer=0), "constant"),
    "a slice of channels and positions": (
        "sliced",
        "int8",
        all_of(
            set_option(SLICE, endMask=5),
            set_constant(SLICE, 2, 0, 4, 0, 3),
            set_tensor(SLICE, -1, shape=np.array([1, 4, 5, 3], np.int32)),
        ),
        "at once",
    ),
    "a permutation that is computed": ("rearranged", "int8", set_tensor(TRANSPOSE, 1, buffer=0), "constant"),
    "a permutation of real numbers": (
        "rearranged",
        "int8",
        set_tensor(TRANSPOSE, 1, type=tflite.TensorType.FLOAT32),
        "constant INT32",
    ),
    "a dimension that is there twice": ("rearranged", "int8", set_constant(TRANSPOSE, 1, 0, 3, 3, 1), "no permutation"),
    "a permutation to another shape": ("rearranged", "int8", set_constant(TRANSPOSE, 1, 0, 3, 2, 1), "does not give"),
    "a permutation that requantises": (
        "rearranged",
        "int8",
        set_quantization(TRANSPOSE, -1, zeroPoint=np.array([5], np.int64)),
        "the same for both",
    ),
    "a vector times matrices": ("attention", "int8", multiply_a_vector, "2 to 5"),
    "matrices of another depth": ("attention", "int8", set_option(MATMUL, adjX=True), "does not"),
    "other rows than the output has": ("attention", "int8", swap_inputs(MATMUL), "does not"),
    "one matrix for all that are transposed": (
        "attention",
        "int8",
        lambda model: vars(operators(model, MATMUL)[-1].builtinOptions).update(adjX=True),
        "as many matrices",
    ),
    "constants without a scale": ("normalized", "int8", set_quantization(MUL, 1, scale=None), "one scale"),
    "constants of another type": ("normalized", "float32", set_tensor(MUL, 1, type=tflite.TensorType.INT32), "INT32"),
    "a fused tanh of constants": ("normalized", "int8", set_option(ADD, fusedActivationFunction=FUSED.TANH), "TANH"),
    "the largest of each row": ("stacked", "int8", set_constant(LARGEST, 1, 1, 3), "other axes"),
    "the largest with another zero point": (
        "stacked",
        "int8",
        set_quantization(LARGEST, -1, zeroPoint=np.array([5], np.int64)),
        "the same for both",
    ),
    "a stack along another axis": ("stacked", "int8", set_option(PACK, axis=1), "do not give"),
    "a stack of another zero point": (
        "stacked",
        "int8",
        set_quantization(PACK, -1, zeroPoint=np.array([5], np.int64)),
        "the same for both",
    ),
    "what is taken apart": (
        "stacked",
        "int8",
        lambda model: vars(operators(model, PACK)[0]).update(outputs=np.array([1, 2], np.int32)),
        "exactly one",
    ),
    "a second conversion": ("plain", "int8 of uint8", quantize_twice, "not the model's input"),
    "a conversion on the way": (
        "plain",
        "int8 of float32",
        set_code(POOL, tflite.BuiltinOperator.DEQUANTIZE),
        "at the output",
    ),
    "a converted input that is read": (
        "plain",
        "int8 of float32",
        lambda model: set_inputs(CONV, 0, *operators(model, CONV)[0].inputs[1:])(model),
        "reads FLOAT32",
    ),
    "what is real in the end": ("plain", "int8 of float32", set_subgraph(outputs=np.array([10], np.int32)), "the last"),
    "parts along another axis": ("divided", "int8", set_constant(SPLIT, 0, 2), "not parts"),
    "parts along what is computed": ("divided", "int8", set_tensor(SPLIT, 0, buffer=0), "constant integer"),
    "rows along another axis": ("divided", "int8", set_option(UNPACK, axis=2), "not those"),
    "a part of another zero point": (
        "divided",
        "int8",
        set_quantization(SPLIT, -1, zeroPoint=np.array([5], np.int64)),
        "the same for both",
    ),
    "an operator that int16 has not": (
        "summed",
        "int16",
        set_code(tflite.BuiltinOperator.RELU, tflite.BuiltinOperator.LOGISTIC),
        "not in int16",
    ),
    "a constant of a sum in int16": (
        "summed",
        "int16",
        lambda model: vars(operators(model, ADD)[0]).update(
            inputs=np.array([operators(model, ADD)[0].inputs[0], operators(model, CONV)[0].inputs[2]], np.int32)
        ),
        "two computed",
    ),
    "a zero point of int16": ("plain", "int16", set_quantization(CONV, -1, zeroPoint=np.array([3])), "zero point 3"),
    "a bias that is too short": ("separable", "int16", set_tensor(DEPTHWISE, 2, type=tflite.TensorType.INT32), "bytes"),
    "weights of int16": ("plain", "int16", set_tensor(CONV, 1, type=tflite.TensorType.INT16), "not INT8"),
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


HALVES = tf.lite.TargetSpec(supported_types=[tf.float16])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"representative_dataset": None, "inference_input_type": tf.float32}, "hybrid"),
        ({"representative_dataset": None, "inference_input_type": tf.float32, "target_spec": HALVES}, "FLOAT16"),
    ],
)
def test_other_conversions_of_the_converter(options: dict[str, object], told: str) -> None:
    source = keras.Input((8,))
    model = keras.Model(source, layers.Dense(600)(layers.Dense(300)(source)))
    supported = tf.lite.TargetSpec(supported_ops=[tf.lite.OpsSet.TFLITE_BUILTINS])
    content = convert(model, "int8", **{"target_spec": supported, "inference_output_type": tf.float32} | options)
    with pytest.raises(UsageError, match=told):
        with_plan(content)


@pytest.mark.parametrize(
    ("shape", "told"), [((4, 1, 1), r"\(MUL\).*one for each channel"), ((4, 4, 2), r"\(MUL\).*not the reverse")]
)
def test_constants_of_other_shapes_are_named(shape: tuple[int, ...], told: str) -> None:
    source = keras.Input((4, 4, 2))
    x = layers.MaxPooling2D(4)(source) if shape == (4, 4, 2) else source
    constants = np.random.default_rng(0).standard_normal(shape, np.float32)
    model = keras.Model(source, layers.LeakyReLU()(x * constants))
    with pytest.raises(UsageError, match=told):
        with_plan(convert(model, "int8"))


def test_four_dimensions_that_change_places() -> None:
    source = keras.Input(batch_shape=(1, 6, 4))
    x = layers.Permute((4, 3, 2, 1))(layers.Reshape((3, 2, 2, 2))(source))
    with pytest.raises(UsageError, match=r"\(TRANSPOSE\).*up to three"):
        with_plan(convert(keras.Model(source, layers.Dense(3)(x)), "float32"))


def test_constant_matrices_are_named() -> None:
    source = keras.Input(batch_shape=(1, 6, 4))
    model = keras.Model(source, keras.ops.matmul(np.ones((1, 3, 6), np.float32), source))
    with pytest.raises(UsageError, match=r"\(BATCH_MATMUL\).*is constant.*fully connected layer"):
        with_plan(convert(model, "float32"))


def test_tiles_are_refused_with_what_to_do() -> None:
    source = keras.Input(batch_shape=(1, 4, 4, 2))
    with pytest.raises(UsageError, match=r"\(TILE\).*keras.layers.Resizing"):
        with_plan(convert(keras.Model(source, layers.UpSampling2D()(source)), "int8"))


def joined_samples(x: keras.KerasTensor) -> keras.KerasTensor:
    return keras.ops.concatenate([x, layers.Conv2D(2, 1)(x)], axis=0)


def flattened_samples(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Dense(3)(keras.ops.reshape(x, (1, 2 * 4 * 3 * 2)))


def matrix_of_samples(x: keras.KerasTensor) -> keras.KerasTensor:
    x = layers.Dense(2)(layers.Flatten()(x))
    return keras.ops.matmul(x, layers.Dense(3)(x))


def matrices_of_other_samples(x: keras.KerasTensor) -> keras.KerasTensor:
    """One batch of matrices for both rows of each map."""
    return keras.ops.matmul(keras.ops.reshape(x, (2, 2, 6, 2)), keras.ops.reshape(layers.Dense(1)(x), (2, 2, 6)))


def sums_of_other_samples(x: keras.KerasTensor) -> keras.KerasTensor:
    return keras.ops.reshape(x, (2, 2, 12)) + layers.Dense(12)(layers.Flatten()(x))


MIXING: dict[str, tuple[Callable[[Any], Any], str]] = {
    "join samples": (joined_samples, r"\(CONCATENATION\).*along the batch"),
    "stack samples": (lambda x: keras.ops.stack([x, layers.ReLU()(x)], axis=0), r"\(PACK\).*along the batch"),
    "take samples apart": (lambda x: keras.ops.add(*keras.ops.unstack(x, axis=0)), r"\(UNPACK\).*along the batch"),
    "halves of the samples": (lambda x: keras.ops.add(*keras.ops.split(x, 2, axis=0)), r"\(SPLIT\).*along the batch"),
    "one sample": (lambda x: layers.Conv2D(2, 1)(x)[:1, ...], r"\(STRIDED_SLICE\).*along the batch"),
    "an average of samples": (lambda x: keras.ops.mean(x, axis=(0, 1, 2)), r"\(MEAN\).*along the batch"),
    "the largest sample": (lambda x: keras.ops.max(x, axis=0, keepdims=True), r"\(REDUCE_MAX\).*along the batch"),
    "samples in place of rows": (lambda x: keras.ops.transpose(x, (1, 0, 2, 3)), r"\(TRANSPOSE\).*along the batch"),
    "a sample more": (lambda x: keras.ops.pad(x, ((0, 1), (0, 0), (0, 0), (0, 0))), r"\(PAD.*not 2 samples"),
    "all samples as one": (flattened_samples, r"\(FULLY_CONNECTED\).*not 2 samples"),
    "a matrix of samples": (matrix_of_samples, r"\(BATCH_MATMUL\).*one matrix of all samples"),
    "matrices of other samples": (matrices_of_other_samples, r"\(BATCH_MATMUL\).*do not meet"),
    "sums of other samples": (sums_of_other_samples, r"\(ADD\).*do not meet"),
    "a constant for each sample": (
        lambda x: layers.Conv2D(2, 1)(x) * np.random.default_rng(0).standard_normal((2, 4, 3, 2), np.float32),
        r"\(MUL\).*one for each element",
    ),
}


@pytest.mark.parametrize("what", MIXING)
def test_what_mixes_samples_is_named(what: str) -> None:
    make, told = MIXING[what]
    source = keras.Input(batch_shape=(2, 4, 3, 2))
    x = keras.ops.reshape(make(source), (2, -1)) if what != "all samples as one" else make(source)
    with pytest.raises(UsageError, match=told):
        with_plan(convert(keras.Model(source, layers.Softmax()(x)), "float32"))


SMALL = converted("vectors", "int8")
BRANCHED = {
    name: converted(name, "int8")
    for name in (
        "excited",
        "pairs",
        "decoder",
        "sliced",
        "enlarged",
        "rearranged",
        "attention",
        "normalized",
        "stacked",
        "divided",
    )
}
BRANCHED["words"] = converted("summed", "int16 of float32")
BRANCHED |= {f"{name} of three": converted(name, "int8", batch=3) for name in ("excited", "attention", "divided")}


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


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.sampled_from(sorted(BRANCHED)), st.data())
def test_every_other_byte_of_a_branched_model(name: str, data: st.DataObject) -> None:
    content = bytearray(BRANCHED[name])
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
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
