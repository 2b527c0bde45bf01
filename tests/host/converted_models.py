"""Small TFLite models as the TFLite converter makes them from Keras, of many shapes and operators."""

import contextlib
import inspect
import io
import warnings
from collections.abc import Callable, Mapping
from functools import cache

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from reds import zoo

TYPES = ("int8", "float32")

PORT_TYPES = {
    "int8": tf.int8,
    "int8 of float32": tf.float32,
    "int8 of uint8": tf.uint8,
    "int16": tf.int16,
    "int16 of float32": tf.float32,
}
"""Types of inputs and outputs of quantised models; the converter's default is float32."""


def plain() -> keras.Model:
    """Convolution, pooling, a flattened map, softmax."""
    x = source = keras.Input((12, 12, 3))
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(x)
    x = layers.Dense(5, activation="softmax")(x)
    return keras.Model(source, x)


def separable() -> keras.Model:
    """As MobileNet: depthwise and pointwise convolutions with batch norms and ReLU6, strides, one average pooling."""
    x = source = keras.Input((20, 16, 1))
    x = _normalized(layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x))
    for strides, filters in ((1, 12), (2, 16)):
        x = _normalized(layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(x))
        x = _normalized(layers.Conv2D(filters, 1, use_bias=False)(x))
    x = layers.AveragePooling2D((5, 4))(x)
    x = layers.Flatten()(x)
    x = layers.Dense(7)(x)
    return keras.Model(source, layers.Softmax()(x))


def _normalized(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.ReLU(6.0)(layers.BatchNormalization()(x))


def residual() -> keras.Model:
    """Sums whose ReLU stands alone, since they are read twice; borders, a concatenation, a sigmoid."""
    source = keras.Input((10, 10, 3))
    x = layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(source))
    y = layers.Conv2D(8, 3, padding="same")(layers.ReLU()(x))
    x = layers.Add()([x, y])
    y = layers.ZeroPadding2D(((1, 0), (0, 2)))(layers.ReLU()(x))
    y = layers.Conv2D(16, 3, strides=2)(y)
    z = layers.Conv2D(16, 3, strides=2, activation="relu")(x)
    z = layers.ZeroPadding2D(((0, 1), (0, 1)))(z)
    x = layers.Concatenate()([y, z])
    x = layers.LeakyReLU(0.2)(x)
    x = layers.MaxPooling2D(2, strides=1, padding="same")(x)
    x = layers.Flatten()(x)
    return keras.Model(source, layers.Dense(4, activation="sigmoid")(x))


def functions(batch: int = 1) -> keras.Model:
    """Functions of one value, a dilated convolution, a depthwise one with several filters per channel."""
    x = source = keras.Input(batch_shape=(batch, 8, 7, 2))
    x = layers.Conv2D(4, 3, dilation_rate=2, activation="tanh")(x)
    x = layers.Conv2D(4, 1, activation="hard_swish")(x)
    x = layers.Activation("sigmoid")(x)
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=3)(x)
    x = layers.AveragePooling2D(2, padding="same")(x)
    return keras.Model(source, x)


def vectors() -> keras.Model:
    """Fully connected layers alone, one without a bias, the last one with one output."""
    x = source = keras.Input((30,))
    x = layers.Dense(12, use_bias=False, activation="relu6")(x)
    x = layers.Dense(16, activation="relu")(x)
    return keras.Model(source, layers.Dense(1)(x))


def reshaped() -> keras.Model:
    """Maps that are read in other shapes than they were written."""
    x = source = keras.Input((30,))
    x = layers.Dense(48, activation="relu")(x)
    x = layers.Reshape((4, 4, 3))(x)
    x = layers.Conv2D(5, 3, padding="same")(x)
    x = layers.Reshape((2, 8, 5))(x)
    x = layers.Conv2D(5, 3, padding="same")(x)
    x = layers.Reshape((20, 4))(x)
    return keras.Model(source, layers.Softmax()(x))


def input_in_two_shapes() -> keras.Model:
    """A network whose input is read as two maps."""
    source = keras.Input((48,))
    x = layers.Conv2D(4, 3)(layers.Reshape((4, 4, 3))(source))
    y = layers.Conv2D(4, 3, strides=2)(layers.Reshape((6, 8, 1))(source))
    x, y = layers.Reshape((4, 4))(x), layers.Reshape((6, 4))(y)
    return keras.Model(source, layers.Concatenate(axis=1)([x, y]))


def series(batch: int = 1) -> keras.Model:
    """One-dimensional convolutions, and a fully connected layer at each position."""
    x = source = keras.Input(batch_shape=(batch, 16, 3))
    x = layers.Conv1D(6, 3, padding="same", activation="relu")(x)
    x = layers.ZeroPadding1D((1, 2))(x)
    x = layers.Conv1D(6, 3)(x)
    x = layers.Dense(5, activation="relu")(x)
    x = layers.MaxPooling1D(2)(x)
    x = layers.Flatten()(x)
    return keras.Model(source, layers.Dense(3)(x))


def detector() -> keras.Model:
    """As a single-shot detector: boxes of two scales, joined along the positions."""
    source = keras.Input((8, 8, 2))
    fine = layers.Conv2D(8, 3, padding="same", activation="relu")(source)
    coarse = layers.MaxPooling2D()(fine)
    boxes = [
        layers.Reshape((-1, 4))(layers.Conv2D(8, 1)(fine)),
        layers.Reshape((-1, 4))(layers.Conv2D(12, 1)(coarse)),
    ]
    return keras.Model(source, layers.Softmax()(layers.Concatenate(axis=1)(boxes)))


def excited() -> keras.Model:
    """Squeeze and excitation: averages over a map gate it, before it and behind it, and shift it; one average ends it.

    One gate is kept as a map and one is reshaped to it.
    """
    source = keras.Input((9, 7, 3))
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(source)
    gate = layers.Conv2D(6, 1, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.DepthwiseConv2D(3, padding="same")(layers.Multiply()([x, gate]))
    offset = layers.Reshape((1, 1, 6))(layers.Dense(6, activation="hard_swish")(layers.GlobalAveragePooling2D()(x)))
    x = layers.Subtract()([layers.Add()([offset, x]), offset])
    x = layers.Multiply()([gate, x])
    x = layers.Conv2D(11, 1, activation="relu6")(x)
    return keras.Model(source, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


def pairs() -> keras.Model:
    """Differences and products of maps, with clamps behind them that are fused, and slopes for each channel.

    What is joined at the end has fixed quantisations, so that the converter requantises it.
    """
    source = keras.Input((8, 6, 4))
    x = layers.PReLU(shared_axes=[1, 2])(layers.Conv2D(4, 3, padding="same")(source))
    y = layers.ReLU()(layers.Subtract()([x, source]))
    z = layers.ReLU(6.0)(layers.Multiply()([x, layers.Conv2D(4, 1)(y)]))
    x = layers.Concatenate()([layers.Activation("sigmoid")(layers.Subtract()([z, y])), layers.Activation("tanh")(x)])
    x = layers.PReLU()(layers.Dense(6)(layers.Flatten()(x)))
    return keras.Model(source, x)


def decoder() -> keras.Model:
    """As an autoencoder's second half: transposed convolutions of both paddings, clamped and not, cut to size."""
    x = source = keras.Input((5, 4, 3))
    x = layers.Conv2DTranspose(6, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Cropping2D(((1, 2), (0, 1)))(x)
    x = layers.Conv2DTranspose(4, (2, 3), strides=(1, 2), activation="tanh")(x)
    x = layers.Conv2DTranspose(2, 1, strides=2, use_bias=False)(x)
    return keras.Model(source, layers.Cropping2D(((0, 3), (2, 0)))(x))


def sliced() -> keras.Model:
    """As ShuffleNet: one half of the channels goes through convolutions, the other past them."""
    source = keras.Input((6, 5, 4))
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(source)
    half = layers.Conv2D(3, 3, padding="same")(x[..., :3])
    x = layers.Concatenate()([half, x[..., 3:]])
    return keras.Model(source, layers.Conv2D(5, 3, strides=2)(x)[..., 1:-1])


def enlarged() -> keras.Model:
    """A map whose positions are repeated, each as often as the others, or not, or left out."""
    x = source = keras.Input((4, 3, 2))
    x = layers.Conv2D(4, 3, padding="same")(x)
    for size in ((8, 9), (11, 5), (7, 41 * 5)):
        x = layers.Resizing(*size, interpolation="nearest")(x)
    return keras.Model(source, layers.Conv2D(2, 3, strides=2)(x))


def rearranged(batch: int = 1) -> keras.Model:
    """Dimensions that change places: of maps, of groups of channels as in ShuffleNet, and of one that moves nothing."""
    source = keras.Input(batch_shape=(batch, 6, 5, 4))
    x = layers.Conv2D(8, 1)(layers.Permute((3, 1, 2))(source))
    x = layers.Permute((2, 1, 3))(x)
    x = layers.Permute((1, 2, 4, 3))(layers.Reshape((6, 4, 2, 4))(x))
    x = layers.Conv2D(1, 1)(layers.Reshape((6, 4, 8))(x))
    x = layers.Conv2D(3, 1)(layers.Permute((3, 1, 2))(x))
    return keras.Model(source, layers.Permute((2, 1, 3))(x))


def attention(batch: int = 1) -> keras.Model:
    """Two heads that attend to a series, and products of matrices the second of which is one for all."""
    source = keras.Input(batch_shape=(batch, 6, 8))
    x = layers.Dense(8)(source)
    keys, values = (layers.Reshape((6, 2, 4))(layers.Dense(8)(x)) for _ in range(2))
    keys, values = layers.Permute((2, 3, 1))(keys), layers.Permute((2, 1, 3))(values)
    queries = layers.Permute((2, 1, 3))(layers.Reshape((6, 2, 4))(x))
    x = keras.ops.matmul(layers.Softmax()(keras.ops.matmul(queries, keys) / 2.0), values)
    x = layers.Reshape((6, 8))(layers.Permute((2, 1, 3))(x))
    y = layers.Reshape((1, 8, 5))(layers.Dense(40)(layers.Flatten()(x)))
    x = keras.ops.matmul(layers.Reshape((2, 3, 8))(x), y)
    return keras.Model(source, x)


def stacked(batch: int = 1) -> keras.Model:
    """Maps that are stacked along a new dimension, the last one or another, and the largest of each channel."""
    source = keras.Input(batch_shape=(batch, 5, 4, 3))
    x, y = (layers.Conv2D(3, 3, padding="same")(source) for _ in range(2))
    x = layers.Conv2D(4, 3)(layers.Reshape((5, 4, 6))(keras.ops.stack([x, y], axis=-1)))
    x = layers.Conv2D(3, 2)(layers.Reshape((6, 2, 4))(keras.ops.stack([x, layers.ReLU()(x)], axis=1)))
    y = layers.GlobalMaxPooling1D(keepdims=True)(layers.Reshape((5, 3))(x))
    return keras.Model(source, layers.Concatenate()([layers.GlobalMaxPooling2D()(x), layers.Flatten()(y)]))


def divided(batch: int = 1) -> keras.Model:
    """Maps that are taken apart: halves and unequal parts of the channels, halves of the rows, and single rows."""
    source = keras.Input(batch_shape=(batch, 4, 5, 6))
    x, y = keras.ops.split(layers.Conv2D(6, 3, padding="same")(source), 2, axis=-1)
    x = keras.ops.concatenate(keras.ops.split(layers.Add()([x, layers.Conv2D(3, 1)(y)]), 2, axis=1)[::-1], axis=2)
    x, y, z = keras.ops.split(layers.Conv2D(7, 1)(x), [2, 3], axis=-1)
    x = layers.LeakyReLU()(keras.ops.concatenate([z, x, y], axis=-1))
    first, second = keras.ops.unstack(x, axis=1)
    return keras.Model(source, layers.Subtract()([second, layers.Conv1D(7, 1)(first)]))


def normalized() -> keras.Model:
    """Constants that scale, shift and lessen: one for all, one for each channel, one for each element."""
    source = keras.Input((6, 5, 4))
    x = layers.Conv2D(4, 3, padding="same")(layers.Rescaling(1 / 3, 0.5)(source))
    x = _normalized(layers.MaxPooling2D(2, strides=1)(x))
    x = layers.BatchNormalization()(layers.AveragePooling2D(2, strides=1)(1.0 - x))
    elements = np.random.default_rng(0).standard_normal((4, 3, 4), np.float32)
    x = layers.ReLU()((x - elements) * np.arange(1, 5, dtype=np.float32))
    return keras.Model(source, keras.ops.subtract(elements, layers.LeakyReLU()(x)))


def scaled() -> keras.Model:
    """Constants, one for all and one for each channel, between layers with channels of their own."""
    source = keras.Input((6, 5, 3))
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(source)
    x = layers.MaxPooling2D(2, strides=1)(x) * np.arange(1, 9, dtype=np.float32)
    x = layers.ReLU()(1.0 - layers.ReLU()(x))
    return keras.Model(source, layers.Conv2D(4, 3)(x))


def averaged_series(batch: int = 1) -> keras.Model:
    """An average over a series, whose end is cut off."""
    x = source = keras.Input(batch_shape=(batch, 16, 3))
    x = layers.Cropping1D((1, 2))(layers.Conv1D(6, 3, activation="relu")(x))
    return keras.Model(source, layers.Dense(4)(layers.GlobalAveragePooling1D()(x)))


_OPERATIONS = {
    "int8": tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
    "int16": tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
}


def summed() -> keras.Model:
    """A sum, what is joined with another quantisation, a ReLU that stands alone, an average over the map."""
    x = source = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = layers.Add()([x, layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)])
    x = layers.AveragePooling2D(2)(x)
    x = layers.Concatenate()([x, layers.Conv2D(4, 1, use_bias=False, activation="relu6")(x)])
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    return keras.Model(source, layers.Dense(5, activation="softmax")(x))


MODELS: Mapping[str, Callable[..., keras.Model]] = {
    maker.__name__: maker
    for maker in (
        plain,
        separable,
        residual,
        functions,
        vectors,
        reshaped,
        input_in_two_shapes,
        series,
        detector,
        excited,
        pairs,
        decoder,
        sliced,
        enlarged,
        averaged_series,
        rearranged,
        attention,
        normalized,
        scaled,
        stacked,
        divided,
        summed,
    )
}


@cache
def converted(name: str, type: str, per_channel: bool = True, batch: int = 1) -> bytes:
    """One of `MODELS`, or an architecture of the zoo, with random weights as a TFLite file.

    Args:
        name: which.
        type: a key of `PORT_TYPES`, or "float32".
        per_channel: whether int8 weights have one scale per output channel.
        batch: samples of one inference.
    """
    maker = {**zoo.ARCHITECTURES, **MODELS}[name]
    model = maker(batch) if "batch" in inspect.signature(maker).parameters else maker()
    if batch > 1:
        model = keras.models.clone_model(model, keras.Input(batch_shape=(batch, *model.input_shape[1:])))
    _draw_weights(model)
    return convert(model, type, _experimental_disable_per_channel=not per_channel)


def convert(model: keras.Model, type: str, **options: object) -> bytes:
    """A Keras model as a TFLite file.

    Args:
        model: the model.
        type: a key of `PORT_TYPES`, calibrated on random inputs, or "float32".
        options: attributes of the converter to set.
    """
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if type in PORT_TYPES:
        generator = np.random.default_rng(0)
        shape = (model.input_shape[0] or 1, *model.input_shape[1:])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([generator.standard_normal(shape, np.float32)] for _ in range(20))
        converter.target_spec.supported_ops = [_OPERATIONS[type.split()[0]]]
        converter.inference_input_type = converter.inference_output_type = PORT_TYPES[type]
    for name, value in options.items():
        setattr(converter, name, value)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return bytes(converter.convert())


def _draw_weights(model: keras.Model) -> None:
    """Weights with which outputs spread; all variances of batch norms are above zero."""
    generator = np.random.default_rng(0)
    for variable in model.weights:
        values = generator.standard_normal(variable.shape) / np.sqrt(max(1, np.prod(variable.shape[:-1])))
        if variable.name in ("gamma", "moving_variance"):
            values = generator.uniform(0.5, 1.5, variable.shape)
        variable.assign(values)
