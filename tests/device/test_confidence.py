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
from reds.graph import Conv2D
from reds.runtime import Runtime
from reds.schema import reds_generated as schema

CLASSES = 5
MODELS = {
    element_type: encode(
        NetworkBuilder(element_type, (1, 1, 3), seed=1).build([LayerSpec(Conv2D((1, 1)), CLASSES)] * 2)
    )
    for element_type in ElementType
}


def is_confident(element_type: ElementType, threshold: float, scale: float, zero_point: int, answer: list) -> bool:
    """What libreds says of an answer whose output has this quantisation."""

    def change(plan: schema.PlanT) -> None:
        plan.exits[0].threshold = threshold
        if element_type is ElementType.INT8:
            for holder in (plan.output, plan.subnetworks[0].tensors[2]):
                holder.scale, holder.zeroPoint = scale, zero_point

    runtime = Runtime(with_plan(MODELS[element_type], change))
    runtime.invoke(np.zeros((1, 1, 3), element_type.dtype))
    runtime.output[...] = np.array(answer, element_type.dtype)
    return runtime.is_confident


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    st.lists(st.integers(-128, 127), min_size=CLASSES, max_size=CLASSES),
    st.integers(-128, 127),
    st.floats(2.0**-20, 2.0**10, width=32),
    st.one_of(st.integers(0, 256), st.floats(2.0**-10, 2.0**12)),
)
def test_int8_answers_are_compared_exactly(answer: list[int], zero_point: int, scale: float, steps: float) -> None:
    threshold = float(np.float32(scale * steps))
    expected = Fraction(scale) * (max(answer) - zero_point) >= Fraction(threshold) or threshold == 0
    assert is_confident(ElementType.INT8, threshold, scale, zero_point, answer) == expected


@pytest.mark.parametrize(("largest", "expected"), [(0.75, True), (0.7499999, False), (-1.0, False)])
def test_float_answers(largest: float, expected: bool) -> None:
    answer = [-2.0, largest, -3.0, -2.5, -4.0]
    assert is_confident(ElementType.FLOAT32, 0.75, 0, 0, answer) == expected
    assert is_confident(ElementType.FLOAT32, 0.0, 0, 0, answer)


def test_there_is_no_answer_before_the_end() -> None:
    runtime = Runtime(MODELS[ElementType.INT8])
    assert not runtime.is_confident
    assert runtime.step()
    assert not runtime.is_confident
    assert not runtime.step()
    assert runtime.is_confident
    runtime.step()
    assert not runtime.is_confident
