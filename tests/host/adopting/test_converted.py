"""Adopted models of the TFLite converter give the bytes of the real TFLite Micro."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from converted_models import MODELS, PORT_TYPES, TYPES, convert, converted
from keras import layers

from reds.adopting import adopt, with_plan
from reds.inspecting import inspect
from reds.reference import run_tflite_micro
from reds.verifying import random_inputs, verify

SAMPLES = 20


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("type", TYPES)
def test_every_proof_holds(tmp_path: Path, name: str, type: str) -> None:
    check_every_proof(tmp_path, converted(name, type))


def check_every_proof(folder: Path, foreign: bytes, samples: int = SAMPLES) -> None:
    (folder / "foreign.tflite").write_bytes(foreign)
    path = adopt(folder / "foreign.tflite", folder / "adopted.tflite")
    inputs = random_inputs(path, samples)
    verify(path, inputs).require()
    before, after = run_tflite_micro(foreign, inputs), run_tflite_micro(path.read_bytes(), inputs)
    np.testing.assert_array_equal(before, after)
    assert len(np.unique(before)) > 1


@pytest.mark.parametrize(
    ("name", "type", "batch"),
    [
        *((name, "int8", 2 + index % 3) for index, name in enumerate(MODELS)),
        *((name, "float32", 3) for name in ("separable", "residual", "reshaped", "excited", "attention", "divided")),
        *((name, "int8 of float32", 2) for name in ("plain", "decoder")),
        ("series", "int8 of uint8", 4),
        *((name, "int16", 3) for name in ("plain", "sliced", "summed")),
    ],
)
def test_several_samples_at_once(tmp_path: Path, name: str, type: str, batch: int) -> None:
    check_every_proof(tmp_path, converted(name, type, batch=batch), samples=5)
    report = inspect(tmp_path / "adopted.tflite")
    assert report.input_shape[0] == report.output_shape[0] == batch


@pytest.mark.parametrize("name", ["plain", "residual", "vectors", "reshaped", "series", "decoder"])
@pytest.mark.parametrize("type", ["int8 of float32", "int8 of uint8"])
def test_converted_inputs_and_outputs(tmp_path: Path, name: str, type: str) -> None:
    """What the converter makes by default: the integers begin and end inside."""
    test_every_proof_holds(tmp_path, name, type)
    report = inspect(tmp_path / "adopted.tflite")
    dtype = PORT_TYPES[type].name
    assert (report.element_type, report.input_type, report.output_type) == ("int8", dtype, dtype)


@pytest.mark.parametrize(
    ("name", "type"),
    [
        ("plain", "int16"),
        *((name, "int16 of float32") for name in ("separable", "vectors", "reshaped", "series", "detector")),
        *((name, "int16 of float32") for name in ("sliced", "enlarged", "summed")),
    ],
)
def test_int16_with_int8_weights(tmp_path: Path, name: str, type: str) -> None:
    test_every_proof_holds(tmp_path, name, type)
    assert inspect(tmp_path / "adopted.tflite").element_type == "int16"


def test_int16_with_biases_of_32_bits(tmp_path: Path) -> None:
    source = keras.Input((6, 5, 2))
    model = keras.Model(source, layers.Conv2D(3, 3)(layers.Conv2D(4, 3, padding="same", activation="relu6")(source)))
    content = convert(model, "int16", _experimental_full_integer_quantization_bias_type=tf.int32)
    (tmp_path / "foreign.tflite").write_bytes(content)
    path = adopt(tmp_path / "foreign.tflite", tmp_path / "adopted.tflite")
    verify(path, random_inputs(path, SAMPLES)).require()


@pytest.mark.parametrize("name", ["ds_cnn_s", "mobilenet_v1_025"])
def test_architectures_of_the_zoo(tmp_path: Path, name: str) -> None:
    test_every_proof_holds(tmp_path, name, "int8")


@pytest.mark.parametrize("name", ["plain", "separable", "vectors", "series", "decoder"])
def test_one_weight_scale_for_all_channels(tmp_path: Path, name: str) -> None:
    (tmp_path / "foreign.tflite").write_bytes(converted(name, "int8", per_channel=False))
    path = adopt(tmp_path / "foreign.tflite", tmp_path / "adopted.tflite")
    verify(path, random_inputs(path, SAMPLES)).require()


def test_the_table_of_an_adopted_file() -> None:
    report = inspect(with_plan(converted("separable", "int8")))
    (row,) = report.subnetworks
    assert (row.name, row.exit, row.widths, row.accuracy) == ("100%", "output", (), None)
    assert (report.input_shape, report.output_shape) == ((1, 20, 16, 1), (1, 7))
    depthwise, pointwise = 80 * 9 * 8 + 20 * 9 * 12, 80 * 8 * 12 + 20 * 12 * 16
    assert row.macs == 80 * 9 * 8 + depthwise + pointwise + 16 * 7
