"""Architectures to start from: the keyword spotting networks of "Hello Edge", and a depthwise separable one for images.

Sources: Zhang et al., "Hello Edge: Keyword Spotting on Microcontrollers", 2017, appendix A (sizes S, M and L);
Corti et al., "REDS: Resource-Efficient Deep Subnetworks for Dynamic Resource Constraints", 2023 (DS-CNN for images).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from reds.errors import UsageError

if TYPE_CHECKING:
    import keras

SPEECH_SHAPE = (49, 10, 1)
SPEECH_VECTOR_SHAPE = (250,)
FASHION_MNIST_SHAPE = (28, 28, 1)
SPEECH_CLASSES = 12
IMAGE_CLASSES = 10


def build(name: str, seed: int = 0) -> "keras.Model":
    """Builds an architecture with fresh weights.

    Args:
        name: One of `ARCHITECTURES`.
        seed: Seed of the weights. Seeds Python's, NumPy's and the backend's random numbers.

    Returns:
        A functional model that ends in a layer "softmax".

    Raises:
        UsageError: There is no such architecture.
    """
    if name not in ARCHITECTURES:
        raise UsageError(f"There is no architecture '{name}'; choose one of {', '.join(ARCHITECTURES)}.")
    import keras

    keras.utils.set_random_seed(seed)
    return ARCHITECTURES[name]()


def dnn_s() -> "keras.Model":
    """Three dense layers of 144 units; reads 250 values, 25 frames of 10 coefficients."""
    return _dnn("dnn_s", units=144)


def dnn_m() -> "keras.Model":
    """Three dense layers of 256 units; reads 250 values, 25 frames of 10 coefficients."""
    return _dnn("dnn_m", units=256)


def dnn_l() -> "keras.Model":
    """Three dense layers of 436 units; reads 250 values, 25 frames of 10 coefficients."""
    return _dnn("dnn_l", units=436)


def cnn_s() -> "keras.Model":
    """Two convolutions of 28 and 30 filters, a bottleneck of 16 units and 128 units."""
    return _cnn("cnn_s", filters=(28, 30), bottleneck=16)


def cnn_m() -> "keras.Model":
    """Two convolutions of 64 and 48 filters, a bottleneck of 16 units and 128 units."""
    return _cnn("cnn_m", filters=(64, 48), bottleneck=16)


def cnn_l() -> "keras.Model":
    """Two convolutions of 60 and 76 filters, a bottleneck of 58 units and 128 units."""
    return _cnn("cnn_l", filters=(60, 76), bottleneck=58)


def ds_cnn_s() -> "keras.Model":
    """A convolution and four depthwise separable blocks of 64 filters."""
    return _ds_cnn("ds_cnn_s", filters=64, blocks=4, conv_strides=(2, 2), block1_strides=(1, 1))


def ds_cnn_m() -> "keras.Model":
    """A convolution and four depthwise separable blocks of 172 filters."""
    return _ds_cnn("ds_cnn_m", filters=172, blocks=4, conv_strides=(2, 1), block1_strides=(2, 2))


def ds_cnn_l() -> "keras.Model":
    """A convolution and five depthwise separable blocks of 276 filters."""
    return _ds_cnn("ds_cnn_l", filters=276, blocks=5, conv_strides=(2, 1), block1_strides=(2, 2))


def ds_cnn_s_fashion_mnist() -> "keras.Model":
    """DS-CNN S for images of 28 x 28 pixels: 3 x 3 convolution, pooling windows of 13 x 5.

    The publication's activation is LeakyReLU; here it is ReLU, which quantizes without a second slope.
    """
    from keras import Model, layers

    inputs = _input(FASHION_MNIST_SHAPE)
    x = _convolution(inputs, "conv1", filters=64, kernel_size=(3, 3), strides=(2, 2), padding="same")
    x = _separable_blocks(x, filters=64, blocks=4, block1_strides=(1, 1))
    x = layers.AveragePooling2D((13, 5), strides=1, name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    return Model(inputs, _classifier(x, IMAGE_CLASSES), name="ds_cnn_s_fashion_mnist")


ARCHITECTURES: dict[str, Callable[[], "keras.Model"]] = {
    architecture.__name__: architecture
    for architecture in (
        dnn_s,
        dnn_m,
        dnn_l,
        cnn_s,
        cnn_m,
        cnn_l,
        ds_cnn_s,
        ds_cnn_m,
        ds_cnn_l,
        ds_cnn_s_fashion_mnist,
    )
}
"""Functions that build an architecture, by name."""


def _dnn(name: str, units: int) -> "keras.Model":
    from keras import Model, layers

    inputs = x = _input(SPEECH_VECTOR_SHAPE)
    for number in (1, 2, 3):
        x = layers.Dense(units, name=f"dense{number}")(x)
        x = layers.ReLU(name=f"dense{number}_relu")(x)
    return Model(inputs, _classifier(x, SPEECH_CLASSES), name=name)


def _cnn(name: str, filters: tuple[int, int], bottleneck: int) -> "keras.Model":
    from keras import Model, layers

    inputs = _input(SPEECH_SHAPE)
    x = _convolution(inputs, "conv1", filters[0], kernel_size=(10, 4), strides=(1, 1), padding="valid")
    x = _convolution(x, "conv2", filters[1], kernel_size=(10, 4), strides=(2, 1), padding="valid")
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(bottleneck, name="bottleneck")(x)
    x = layers.Dense(128, name="dense1")(x)
    x = _normalized_relu(x, "dense1")
    return Model(inputs, _classifier(x, SPEECH_CLASSES), name=name)


def _ds_cnn(
    name: str, filters: int, blocks: int, conv_strides: tuple[int, int], block1_strides: tuple[int, int]
) -> "keras.Model":
    from keras import Model, layers

    inputs = _input(SPEECH_SHAPE)
    x = _convolution(inputs, "conv1", filters, kernel_size=(10, 4), strides=conv_strides, padding="same")
    x = _separable_blocks(x, filters, blocks, block1_strides)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return Model(inputs, _classifier(x, SPEECH_CLASSES), name=name)


def _separable_blocks(
    x: "keras.KerasTensor", filters: int, blocks: int, block1_strides: tuple[int, int]
) -> "keras.KerasTensor":
    from keras import layers

    for number in range(1, blocks + 1):
        depthwise = f"block{number}_depthwise"
        strides = block1_strides if number == 1 else (1, 1)
        x = layers.DepthwiseConv2D((3, 3), strides=strides, padding="same", name=depthwise)(x)
        x = _normalized_relu(x, depthwise)
        x = _convolution(x, f"block{number}_pointwise", filters, (1, 1), strides=(1, 1), padding="same")
    return x


def _convolution(
    x: "keras.KerasTensor",
    name: str,
    filters: int,
    kernel_size: tuple[int, int],
    strides: tuple[int, int],
    padding: str,
) -> "keras.KerasTensor":
    from keras import layers

    x = layers.Conv2D(filters, kernel_size, strides=strides, padding=padding, name=name)(x)
    return _normalized_relu(x, name)


def _normalized_relu(x: "keras.KerasTensor", name: str) -> "keras.KerasTensor":
    from keras import layers

    x = layers.BatchNormalization(epsilon=1e-3, momentum=0.99, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _classifier(x: "keras.KerasTensor", classes: int) -> "keras.KerasTensor":
    from keras import layers

    return layers.Softmax(name="softmax")(layers.Dense(classes, name="classifier")(x))


def _input(shape: tuple[int, ...]) -> "keras.KerasTensor":
    from keras import Input

    return Input(shape, name="input")
