"""Proofs 2, 3 and 5 on random networks: libreds, the extracted models and stock interpreters agree."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import random_supernet
from test_lookup import one_operation
from test_tracing import MODELS, with_random_weights

from reds.emitting import emit
from reds.errors import VerificationError
from reds.finetuning import evaluate
from reds.graph import Activation, ActivationFunction, Family, Subnetwork, Supernet
from reds.lookup import SIGMOID_OUTPUT, TABLED, TANH_OUTPUT
from reds.ranking import rank
from reds.reference import run_litert, run_tflite_micro
from reds.requantize import Quantization
from reds.runtime import Runtime
from reds.verifying import largest_table_difference, random_inputs, verify

SAMPLES = 8
SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def emitted(supernet: Supernet, path: Path, type: str, seed: int) -> Path:
    generator = np.random.default_rng(seed)
    calibration = generator.standard_normal((64, *supernet.family.graph.input_shape), np.float32)
    return emit(supernet, path, type, calibration)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(SEEDS)
def test_every_int8_subnetwork_equals_its_extracted_model_byte_for_byte(folder: Path, seed: int) -> None:
    path = emitted(random_supernet(seed), folder / "int8.tflite", "int8", seed)
    report = verify(path, random_inputs(path, SAMPLES, seed))
    assert report.passed, [check for check in report.checks if not check.passed]


@settings(derandomize=True, deadline=None, max_examples=40)
@given(SEEDS)
def test_every_float_subnetwork_equals_its_extracted_model_and_the_training_graph(folder: Path, seed: int) -> None:
    supernet = random_supernet(seed)
    path = emitted(supernet, folder / "float.tflite", "float32", seed)
    inputs = random_inputs(path, SAMPLES, seed)
    report = verify(path, inputs)
    assert report.passed, [check for check in report.checks if not check.passed]
    runtime = Runtime(path)
    for index in range(len(supernet.family.subnetworks)):
        runtime.select(index)
        trained = evaluate(supernet, index, inputs).reshape(SAMPLES, -1)
        scale = max(1.0, float(np.abs(trained).max()))
        np.testing.assert_allclose(runtime.invoke(inputs), trained, atol=2e-5 * scale)


@pytest.mark.parametrize("build", MODELS)
def test_every_traced_model_is_the_same_in_libreds(folder: Path, build: Callable[[], keras.Model]) -> None:
    model = with_random_weights(build())
    graph = rank(model, method="l1").graph
    full = tuple(group.size for group in graph.groups)
    halves = (Subnetwork("full", full), Subnetwork("half", tuple((size + 1) // 2 for size in full)))
    supernet = Supernet(Family(graph, tuple(np.ones(size) for size in full), (), halves), ({}, {}))
    for type in ("int8", "float32"):
        path = emitted(supernet, folder / f"{type}.tflite", type, seed=3)
        inputs = random_inputs(path, SAMPLES)
        report = verify(path, inputs)
        assert report.passed, [check for check in report.checks if not check.passed]
    expected = np.asarray(model(inputs))
    np.testing.assert_allclose(Runtime(path).invoke(inputs), expected, atol=1e-4 * np.abs(expected).max())


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    st.sampled_from(TABLED), st.floats(-12, 5), st.integers(-128, 127), st.integers(-128, 127), st.integers(-300, 300)
)
def test_litert_stays_within_the_largest_table_difference(
    function: ActivationFunction, exponent: float, zero_point: int, target_zero_point: int, shift: int
) -> None:
    activation = Activation(function, 0.25 if function == "leaky_relu" else 0.0)
    source = Quantization(np.float32(2.0**exponent), zero_point)
    own = Quantization(np.float32(source.scale / 2), target_zero_point)
    target = {"sigmoid": SIGMOID_OUTPUT, "tanh": TANH_OUTPUT}.get(function, own)
    model = one_operation(activation, source, target)
    inputs = np.arange(-128, 128)
    ours = run_tflite_micro(model, inputs.astype(np.int8)[np.newaxis])[0].astype(int)
    shifted = np.clip(inputs + shift, -128, 127).astype(np.int8)
    theirs = run_litert(model, shifted[np.newaxis])[0].astype(int)
    allowed = largest_table_difference(activation, source, target, abs(shift))
    assert np.abs(ours - theirs).max() <= allowed


def test_a_difference_is_reported_and_raised(folder: Path) -> None:
    path = emitted(random_supernet(1), folder / "other.tflite", "int8", 1)
    report = verify(path, random_inputs(path, SAMPLES))
    broken = type(report)(report.model, (type(report.checks[0])(2, "a = b", "full", 1, False, "off by one"),))
    report.require()
    with pytest.raises(VerificationError, match="a = b failed"):
        broken.require()
