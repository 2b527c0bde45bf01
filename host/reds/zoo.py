"""Architectures to start from: keyword spotting, small images, person detection and machine sounds.

Sources: Zhang et al., "Hello Edge: Keyword Spotting on Microcontrollers", 2017, appendix A (DNN, CNN, DS-CNN);
Corti et al., "REDS: Resource-Efficient Deep Subnetworks for Dynamic Resource Constraints", 2023 (DS-CNN for images);
Howard et al., "MobileNets", 2017, table 1 (MobileNetV1); Banbury et al., "MLPerf Tiny Benchmark", 2021 (MobileNetV1 of
width 0.25 for visual wake words, ResNet-8 for image classification, and the autoencoder for anomaly detection);
De Leon and Atienza, "Depth Pruning with Auxiliary Networks for TinyML", 2022 (what of these runs on a microcontroller:
MobileNetV1 on grey images, DS-CNN on log mel energies).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from reds.errors import UsageError

if TYPE_CHECKING:
    import keras

SPEECH_SHAPE = (49, 10, 1)
SPEECH_VECTOR_SHAPE = (250,)
SPEECH_LOG_MEL_SHAPE = (490,)
FASHION_MNIST_SHAPE = (28, 28, 1)
CIFAR10_SHAPE = (32, 32, 3)
VISUAL_WAKE_WORDS_SHAPE = (96, 96, 3)
VISUAL_WAKE_WORDS_GREY_SHAPE = (96, 96, 1)
MACHINE_SOUND_SHAPE = (640,)
SPEECH_CLASSES = 12
IMAGE_CLASSES = 10
PERSON_CLASSES = 2

MOBILENET_STEM = 32
MOBILENET_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""Filters and stride of each depthwise separable block of MobileNetV1, at width 1."""

RESNET_BLOCKS = ((16, 1), (32, 2), (64, 2))
"""Filters and stride of each residual block of ResNet-8."""


def build(name: str, seed: int = 0) -> "keras.Model":
    """Builds an architecture with fresh weights.

    Args:
        name: One of `ARCHITECTURES`.
        seed: Seed of the weights. Seeds Python's, NumPy's and the backend's random numbers.

    Returns:
        A functional model. A classifier ends in a layer "softmax", the autoencoder in a layer "output".

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


def ds_cnn_s_log_mel() -> "keras.Model":
    """DS-CNN S that reads 490 values, as a speech front end on a microcontroller gives them, as a map of 49 x 10."""
    return _ds_cnn(
        "ds_cnn_s_log_mel", 64, blocks=4, conv_strides=(2, 2), block1_strides=(1, 1), input_shape=SPEECH_LOG_MEL_SHAPE
    )


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
    return _ds_cnn_for_images("ds_cnn_s_fashion_mnist", FASHION_MNIST_SHAPE, pool_size=(13, 5))


def ds_cnn_s_cifar10() -> "keras.Model":
    """DS-CNN S for colour images of 32 x 32 pixels: 3 x 3 convolution, pooling windows of 16 x 5.

    The publication's activation is LeakyReLU; here it is ReLU, which quantizes without a second slope.
    """
    return _ds_cnn_for_images("ds_cnn_s_cifar10", CIFAR10_SHAPE, pool_size=(16, 5))


def mobilenet_v1_025() -> "keras.Model":
    """MobileNetV1 of width 0.25 for colour images of 96 x 96 pixels, 8 to 256 filters; the reference of MLPerf Tiny."""
    return _mobilenet_v1("mobilenet_v1_025", width=0.25, use_bias=True)


def mobilenet_v1_025_fashion_mnist() -> "keras.Model":
    """The first eight blocks of MobileNetV1 of width 0.25 for images of 28 x 28 pixels, 8 to 128 filters.

    The last blocks are left out: the map behind the eighth has 2 x 2 positions.
    """
    blocks = MOBILENET_BLOCKS[:8]
    name = "mobilenet_v1_025_fashion_mnist"
    return _mobilenet_v1(name, 0.25, True, FASHION_MNIST_SHAPE, blocks, IMAGE_CLASSES)


def mobilenet_v1_025_gray() -> "keras.Model":
    """MobileNetV1 of width 0.25 for grey images of 96 x 96 pixels, as cameras on microcontrollers give them."""
    return _mobilenet_v1("mobilenet_v1_025_gray", 0.25, use_bias=True, input_shape=VISUAL_WAKE_WORDS_GREY_SHAPE)


def mobilenet_v1_100() -> "keras.Model":
    """MobileNetV1 of width 1 for colour images of 96 x 96 pixels, 32 to 1024 filters without biases.

    REDS uses LeakyReLU; here it is ReLU, which quantizes without a second slope.
    """
    return _mobilenet_v1("mobilenet_v1_100", width=1.0, use_bias=False)


def resnet_8() -> "keras.Model":
    """A convolution and three residual blocks of 16, 32 and 64 filters for colour images of 32 x 32 pixels.

    The reference of MLPerf Tiny for CIFAR-10. A block whose shape changes has a 1 x 1 convolution in its shortcut.
    """
    from keras import Model, layers

    inputs = _input(CIFAR10_SHAPE)
    x = _convolution(inputs, "conv1", RESNET_BLOCKS[0][0], (3, 3), (1, 1), "same")
    for number, (filters, stride) in enumerate(RESNET_BLOCKS, start=1):
        x = _residual_block(x, number, filters, (stride, stride))
    x = layers.AveragePooling2D((8, 8), name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    return Model(inputs, _classifier(x, IMAGE_CLASSES), name="resnet_8")


def autoencoder() -> "keras.Model":
    """Dense layers of 4 x 128, 8 and 4 x 128 units that restore 640 values: 5 frames of 128 mel bands.

    Every layer but the last has batch normalization and ReLU; the last is linear.
    """
    from keras import Model, layers

    inputs = x = _input(MACHINE_SOUND_SHAPE)
    for number, units in enumerate((128, 128, 128, 128, 8, 128, 128, 128, 128), start=1):
        x = layers.Dense(units, name=f"dense{number}")(x)
        x = _normalized_relu(x, f"dense{number}")
    return Model(inputs, layers.Dense(MACHINE_SOUND_SHAPE[0], name="output")(x), name="autoencoder")


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
        ds_cnn_s_log_mel,
        ds_cnn_m,
        ds_cnn_l,
        ds_cnn_s_fashion_mnist,
        ds_cnn_s_cifar10,
        mobilenet_v1_025,
        mobilenet_v1_025_fashion_mnist,
        mobilenet_v1_025_gray,
        mobilenet_v1_100,
        resnet_8,
        autoencoder,
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
    name: str,
    filters: int,
    blocks: int,
    conv_strides: tuple[int, int],
    block1_strides: tuple[int, int],
    input_shape: tuple[int, ...] = SPEECH_SHAPE,
) -> "keras.Model":
    from keras import Model, layers

    inputs = x = _input(input_shape)
    if input_shape != SPEECH_SHAPE:
        x = layers.Reshape(SPEECH_SHAPE, name="map")(x)
    x = _convolution(x, "conv1", filters, kernel_size=(10, 4), strides=conv_strides, padding="same")
    x = _separable_blocks(x, filters, blocks, block1_strides)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return Model(inputs, _classifier(x, SPEECH_CLASSES), name=name)


def _ds_cnn_for_images(name: str, shape: tuple[int, int, int], pool_size: tuple[int, int]) -> "keras.Model":
    from keras import Model, layers

    inputs = _input(shape)
    x = _convolution(inputs, "conv1", filters=64, kernel_size=(3, 3), strides=(2, 2), padding="same")
    x = _separable_blocks(x, filters=64, blocks=4, block1_strides=(1, 1))
    x = layers.AveragePooling2D(pool_size, strides=1, name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    return Model(inputs, _classifier(x, IMAGE_CLASSES), name=name)


def _mobilenet_v1(
    name: str,
    width: float,
    use_bias: bool,
    input_shape: tuple[int, int, int] = VISUAL_WAKE_WORDS_SHAPE,
    blocks: Sequence[tuple[int, int]] = MOBILENET_BLOCKS,
    classes: int = PERSON_CLASSES,
) -> "keras.Model":
    from keras import Model, layers

    inputs = _input(input_shape)
    x = _convolution(inputs, "conv1", int(width * MOBILENET_STEM), (3, 3), (2, 2), "same", use_bias)
    for number, (filters, stride) in enumerate(blocks, start=1):
        x = _separable_block(x, number, int(width * filters), (stride, stride), use_bias)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return Model(inputs, _classifier(x, classes), name=name)


def _separable_blocks(
    x: "keras.KerasTensor", filters: int, blocks: int, block1_strides: tuple[int, int]
) -> "keras.KerasTensor":
    for number in range(1, blocks + 1):
        x = _separable_block(x, number, filters, strides=block1_strides if number == 1 else (1, 1))
    return x


def _separable_block(
    x: "keras.KerasTensor", number: int, filters: int, strides: tuple[int, int], use_bias: bool = True
) -> "keras.KerasTensor":
    from keras import layers

    depthwise = f"block{number}_depthwise"
    x = layers.DepthwiseConv2D((3, 3), strides=strides, padding="same", use_bias=use_bias, name=depthwise)(x)
    x = _normalized_relu(x, depthwise)
    return _convolution(x, f"block{number}_pointwise", filters, (1, 1), (1, 1), "same", use_bias)


def _residual_block(x: "keras.KerasTensor", number: int, filters: int, strides: tuple[int, int]) -> "keras.KerasTensor":
    from keras import layers

    name = f"block{number}"
    branch = _convolution(x, f"{name}_conv1", filters, (3, 3), strides, "same")
    branch = layers.Conv2D(filters, (3, 3), padding="same", name=f"{name}_conv2")(branch)
    branch = _normalized(branch, f"{name}_conv2")
    if strides != (1, 1):
        x = layers.Conv2D(filters, (1, 1), strides=strides, padding="same", name=f"{name}_shortcut")(x)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, branch]))


def _convolution(
    x: "keras.KerasTensor",
    name: str,
    filters: int,
    kernel_size: tuple[int, int],
    strides: tuple[int, int],
    padding: str,
    use_bias: bool = True,
) -> "keras.KerasTensor":
    from keras import layers

    x = layers.Conv2D(filters, kernel_size, strides=strides, padding=padding, use_bias=use_bias, name=name)(x)
    return _normalized_relu(x, name)


def _normalized_relu(x: "keras.KerasTensor", name: str) -> "keras.KerasTensor":
    from keras import layers

    return layers.ReLU(name=f"{name}_relu")(_normalized(x, name))


def _normalized(x: "keras.KerasTensor", name: str) -> "keras.KerasTensor":
    from keras import layers

    return layers.BatchNormalization(epsilon=1e-3, momentum=0.99, name=f"{name}_bn")(x)


def _classifier(x: "keras.KerasTensor", classes: int) -> "keras.KerasTensor":
    from keras import layers

    return layers.Softmax(name="softmax")(layers.Dense(classes, name="classifier")(x))


def _input(shape: tuple[int, ...]) -> "keras.KerasTensor":
    from keras import Input

    return Input(shape, name="input")
