"""An answer is confident where its largest element reaches the exit's threshold."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_builder import LayerSpec, NetworkBuilder
from test_libreds import with_plan

from reds.compiled import ElementType
from reds.emitting import encode
from reds.graph import Conv2D, Dequantize
from reds.runtime import Runtime
from reds.schema import reds_generated as schema

CLASSES = 5


def model(element_type: ElementType, last: LayerSpec) -> bytes:
    return encode(NetworkBuilder(element_type, (1, 1, 3), seed=1).build([LayerSpec(Conv2D((1, 1)), CLASSES), last]))


MODELS = {element_type.value: model(element_type, LayerSpec(Conv2D((1, 1)), CLASSES)) for element_type in ElementType}
MODELS["uint8 of int8"] = model(ElementType.INT8, LayerSpec(Dequantize("uint8")))
MODELS["float32 of int8"] = model(ElementType.INT8, LayerSpec(Dequantize("float32")))
MODELS["float32 of int16"] = model(ElementType.INT16, LayerSpec(Dequantize("float32")))


def is_confident(model: str, threshold: float, scale: float, zero_point: int, answer: list) -> bool:
    """What libreds says of an answer whose output, if it is not real, has this quantisation."""

    def change(plan: schema.PlanT) -> None:
        plan.exits[0].threshold = threshold
        if not model.startswith("float32"):
            for holder in (plan.output, plan.subnetworks[0].tensors[2]):
                holder.scale = scale
                holder.zeroPoint = zero_point
        if model.startswith("uint8"):
            plan.subnetworks[0].tensors[2].zeroPoint = 0

    runtime = Runtime(with_plan(MODELS[model], change))
    runtime.invoke(np.zeros((1, 1, 3), runtime.input.dtype))
    runtime.output[...] = np.array(answer, runtime.output.dtype)
    return runtime.is_confident


@pytest.mark.parametrize(
    ("of_exit", "of_subnetwork", "expected"), [(0.5, 0.25, True), (0.25, 0.5, False), (0.5, 0.0, False)]
)
def test_a_subnetworks_own_threshold_comes_first(of_exit: float, of_subnetwork: float, expected: bool) -> None:
    def change(plan: schema.PlanT) -> None:
        plan.exits[0].threshold = of_exit
        plan.subnetworks[0].threshold = of_subnetwork

    runtime = Runtime(with_plan(MODELS["float32"], change))
    runtime.invoke(np.zeros((1, 1, 3), np.float32))
    runtime.output[...] = 0.375
    assert runtime.is_confident == expected


def check_exactly(model: str, scale: float, zero_point: int, steps: float, answer: list[int]) -> None:
    threshold = float(np.float32(scale * steps))
    expected = Fraction(scale) * (max(answer) - zero_point) >= Fraction(threshold) or threshold == 0
    assert is_confident(model, threshold, scale, zero_point, answer) == expected


scales = st.floats(2.0**-20, 2.0**10, width=32)


def answers(lowest: int, highest: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(lowest, highest), min_size=CLASSES, max_size=CLASSES)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    answers(-128, 127),
    st.integers(-128, 127),
    scales,
    st.one_of(st.integers(0, 256), st.floats(2.0**-10, 2.0**12)),
)
def test_int8_answers_are_compared_exactly(answer: list[int], zero_point: int, scale: float, steps: float) -> None:
    check_exactly("int8", scale, zero_point, steps, answer)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(answers(-(1 << 15), (1 << 15) - 1), scales, st.one_of(st.integers(0, 1 << 16), st.floats(2.0**-10, 2.0**20)))
def test_int16_answers_are_compared_exactly(answer: list[int], scale: float, steps: float) -> None:
    check_exactly("int16", scale, 0, steps, answer)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(answers(0, 255), st.integers(0, 255), scales, st.one_of(st.integers(0, 256), st.floats(2.0**-10, 2.0**12)))
def test_uint8_answers_are_compared_exactly(answer: list[int], zero_point: int, scale: float, steps: float) -> None:
    check_exactly("uint8 of int8", scale, zero_point, steps, answer)


@pytest.mark.parametrize("model", ["float32", "float32 of int8", "float32 of int16"])
@pytest.mark.parametrize(("largest", "expected"), [(0.75, True), (0.7499999, False), (-1.0, False)])
def test_float_answers(model: str, largest: float, expected: bool) -> None:
    answer = [-2.0, largest, -3.0, -2.5, -4.0]
    assert is_confident(model, 0.75, 0, 0, answer) == expected
    assert is_confident(model, 0.0, 0, 0, answer)


def test_there_is_no_answer_before_the_end() -> None:
    runtime = Runtime(MODELS["int8"])
    assert not runtime.is_confident
    assert runtime.step()
    assert not runtime.is_confident
    assert not runtime.step()
    assert runtime.is_confident
    runtime.step()
    assert not runtime.is_confident
