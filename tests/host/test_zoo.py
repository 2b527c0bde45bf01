"""The zoo against the published tables. The counter here is the test's own, so that it can disagree."""

import math

import keras
import numpy as np
import pytest

from reds import zoo
from reds.errors import UsageError

# Parameters with four per batch-normalized channel, and multiply-accumulates.
PUBLISHED = {
    "dnn_s": (79_644, 79_200),
    "dnn_m": (198_924, 198_144),
    "dnn_l": (495_744, 494_424),
    "cnn_s": (69_982, 2_498_304),
    "cnn_m": (179_404, 8_633_856),
    "cnn_l": (477_262, 12_636_672),
    "ds_cnn_s": (24_908, 2_656_768),
    "ds_cnn_m": (141_224, 9_816_384),
    "ds_cnn_l": (422_844, 28_327_812),
    "ds_cnn_s_fashion_mnist": (34_954, 3_788_544),
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
    assert model.layers[-1].name == "softmax"


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


def test_the_seed_decides_the_weights() -> None:
    first, same, other = (zoo.build("dnn_s", seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_unknown_name_lists_the_architectures() -> None:
    with pytest.raises(UsageError, match=r"'resnet'.*ds_cnn_s"):
        zoo.build("resnet")
