"""The zoo against the published tables. The counter here is the test's own, so that it can disagree."""

import math

import keras
import numpy as np
import pytest

from reds import cost, zoo
from reds.errors import UsageError
from reds.tracing import trace

# Keras' parameters, four per batch-normalized channel among them, and multiply-accumulates.
PUBLISHED = {
    "dnn_s": (79_644, 79_200),
    "dnn_m": (198_924, 198_144),
    "dnn_l": (495_744, 494_424),
    "cnn_s": (69_982, 2_498_304),
    "cnn_m": (179_404, 8_633_856),
    "cnn_l": (477_262, 12_636_672),
    "ds_cnn_s": (24_908, 2_656_768),
    "ds_cnn_s_log_mel": (24_908, 2_656_768),
    "ds_cnn_m": (141_224, 9_816_384),
    "ds_cnn_l": (422_844, 28_327_812),
    "ds_cnn_s_fashion_mnist": (34_954, 3_788_544),
    "ds_cnn_s_cifar10": (30_986, 5_234_176),
    "mobilenet_v1_025": (221_794, 7_489_664),
    # Not published; by hand from the layers.
    "mobilenet_v1_025_fashion_mnist": (59_738, 438_512),
    # One channel of input instead of three: 3 x 3 x 2 x 8 weights, at 48 x 48 positions, less.
    "mobilenet_v1_025_gray": (221_650, 7_157_888),
    # Published as 3.185 M in convolutions and 104.27 M; exact by the test against Keras' own MobileNet below.
    "mobilenet_v1_100": (3_230_914, 104_276_480),
    "resnet_8": (78_666, 12_501_632),
    # Published are the multiply-accumulates; the parameters follow from the layers: 265,864, and 4 x 1,032 more.
    "autoencoder": (269_992, 264_192),
}


def multiply_accumulates(model: keras.Model) -> int:
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            total += math.prod(layer.output.shape[1:]) * math.prod(layer.kernel.shape[:2])
        elif isinstance(layer, keras.layers.Conv2D):
            total += math.prod(layer.output.shape[1:]) * math.prod(layer.kernel.shape[:3])
        elif isinstance(layer, keras.layers.Dense):
            total += math.prod(layer.kernel.shape)
    return total


@pytest.mark.parametrize("name", zoo.ARCHITECTURES)
def test_parameters_and_macs_are_the_published_ones(name: str) -> None:
    model = zoo.build(name)
    assert (model.count_params(), multiply_accumulates(model)) == PUBLISHED[name]
    assert model.name == name
    assert model.layers[-1].name == ("output" if name == "autoencoder" else "softmax")


@pytest.mark.parametrize(("name", "width"), [("mobilenet_v1_025", 0.25), ("mobilenet_v1_100", 1.0)])
def test_mobilenet_is_that_of_keras(name: str, width: float) -> None:
    """Keras' own has no biases in its convolutions and no classifier here, and pads before strided convolutions."""
    model = zoo.build(name)
    reference = keras.applications.MobileNet((96, 96, 3), width, include_top=False, weights=None)
    *convolutions, classifier = kernels(model)
    assert convolutions == kernels(reference)
    assert maps(model) == maps(reference)
    assert multiply_accumulates(model) == multiply_accumulates(reference) + math.prod(classifier)
    assert all(layer.use_bias == (width < 1) for layer in model.layers if isinstance(layer, keras.layers.Conv2D))


@pytest.mark.parametrize(
    ("widths", "millions", "kibibytes"),
    [
        ((12, 46, 64, 120, 128, 246, 254, 465, 334, 387, 361, 511, 585, 1022), 53.26, 414),
        ((13, 13, 20, 72, 93, 134, 246, 294, 457, 394, 392, 361, 511, 598), 36.46, 162),
        ((32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024), 104.27, 576),
    ],
)
def test_published_subnetworks_of_mobilenet_cost_what_is_published(
    widths: tuple[int, ...], millions: float, kibibytes: int
) -> None:
    """Corti et al. 2023; their memory is that of the largest float32 map."""
    graph = trace(zoo.build("mobilenet_v1_100"))
    classifier = widths[-1] * zoo.PERSON_CLASSES
    assert round((cost.macs(graph, widths) - classifier) / 1e6, 2) == millions
    largest = max(math.prod(node.output_shape[:2]) * widths[node.output_group] for node in graph.nodes[:-3])
    assert round(4 * largest / 1024) == kibibytes


def kernels(model: keras.Model) -> list[tuple[int, ...]]:
    """Shapes of the weights of convolutions and dense layers."""
    return [tuple(layer.kernel.shape) for layer in model.layers if hasattr(layer, "kernel")]


def maps(model: keras.Model) -> list[tuple[int, ...]]:
    """Shapes of the normalized maps."""
    return [layer.output.shape for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]


def test_layer_names_tell_what_a_layer_is() -> None:
    names = [layer.name for layer in zoo.build("ds_cnn_s").layers]
    assert names[:4] == ["input", "conv1", "conv1_bn", "conv1_relu"]
    assert names[4:10] == [
        f"block1_{part}"
        for part in (
            "depthwise",
            "depthwise_bn",
            "depthwise_relu",
            "pointwise",
            "pointwise_bn",
            "pointwise_relu",
        )
    ]
    assert names[-3:] == ["pool", "classifier", "softmax"]


def test_a_vector_of_speech_is_read_as_a_map() -> None:
    vector, map = zoo.build("ds_cnn_s_log_mel", seed=1), zoo.build("ds_cnn_s", seed=1)
    x = np.random.default_rng(0).standard_normal((2, 490), np.float32)
    assert vector.input_shape == (None, 490)
    np.testing.assert_array_equal(vector(x), map(x.reshape(2, 49, 10, 1)))


def test_the_seed_decides_the_weights() -> None:
    first, same, other = (zoo.build("dnn_s", seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_unknown_name_lists_the_architectures() -> None:
    with pytest.raises(UsageError, match=r"'resnet'.*ds_cnn_s"):
        zoo.build("resnet")
