"""Several samples of one inference run one after the other, in the arena of one beside the input and the output."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_drawing import Draw
from model_builder import LayerSpec, NetworkBuilder
from numpy.typing import NDArray
from test_libreds import LIBRARY, REDS, Opening, change_layer, change_port, change_tensor, with_plan
from test_overlap import drawn_chain, narrow

from reds.compiled import CompiledNetwork, ElementType
from reds.emitting import encode, extract
from reds.errors import UsageError
from reds.graph import Activation, Conv2D, Dense, DepthwiseConv2D, Dequantize, Mean, Quantize
from reds.model_file import decode, read_model_file
from reds.reference import run_tflite_micro
from reds.runtime import Runtime
from reds.schema import reds_generated as schema
from reds_bench.batch import run_batch
from reds_bench.client import Bench
from reds_bench.emulator import QEMU, boot

BATCH = 3
SPECS = [
    LayerSpec(Conv2D((3, 2), (2, 1), "same"), 4, "relu6"),
    LayerSpec(DepthwiseConv2D((2, 2), padding="same")),
    LayerSpec(Mean()),
    LayerSpec(Dense(), 5),
    LayerSpec(Activation("softmax")),
]
CONVERTED_SPECS = [
    LayerSpec(Quantize("float32")),
    LayerSpec(Conv2D((2, 2)), 5),
    LayerSpec(Conv2D((2, 2)), 3),
    LayerSpec(Dequantize("uint8")),
]

examples = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, (1 << 32) - 1)


def make_network(
    element_type: ElementType = ElementType.INT8, specs: list[LayerSpec] = SPECS
) -> tuple[CompiledNetwork, NDArray]:
    """A network and a narrow one, of odd sizes, and inputs of one inference."""
    builder = NetworkBuilder(element_type, (5, 3, 1), seed=9, batch=BATCH)
    network = builder.build(specs, [[3 if spec.channels == 4 else spec.channels for spec in specs]])
    return network, builder.input(1)[0]


NETWORK, INPUT = make_network()
MODEL = encode(NETWORK)


@pytest.mark.parametrize("element_type", ElementType)
@examples
@given(seed=seeds)
def test_every_sample_gives_what_it_gives_alone(element_type: ElementType, seed: int) -> None:
    draw = Draw(seed)
    shape = (*draw.pair(9, 9), draw.size(3))
    specs = drawn_chain(draw, shape, 4, element_type)
    builder = NetworkBuilder(element_type, shape, seed, batch=draw.choice(2, 3, 5))
    network = builder.build(specs, [narrow(draw, specs)])
    model = encode(network)
    together, alone = Runtime(model), Runtime(encode(replace(network, batch=1)))
    x = builder.input(2)
    for subnetwork in (0, 1):
        together.select(subnetwork)
        alone.select(subnetwork)
        actual = together.invoke(x)
        np.testing.assert_array_equal(actual, [alone.invoke(samples) for samples in x])
        assert together.guards_intact
        expected = run_tflite_micro(extract(model, subnetwork), x)
        if element_type is ElementType.FLOAT32:
            np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
        else:
            np.testing.assert_array_equal(actual, expected)


def test_input_and_output_of_other_types() -> None:
    network, x = make_network(specs=CONVERTED_SPECS)
    model = encode(network)
    np.testing.assert_array_equal(Runtime(model).invoke(x), run_tflite_micro(extract(model, 0), x[np.newaxis])[0])


def test_a_file_gives_its_batch_back() -> None:
    assert decode(read_model_file(MODEL)).batch == BATCH


def test_costs_are_those_of_all_samples() -> None:
    """Weights are read again, multiplied again, but kept once."""
    (one, *_), (all, *_) = Runtime(encode(replace(NETWORK, batch=1))).subnetworks, Runtime(MODEL).subnetworks
    assert (all.macs, all.parameters, all.flash_bytes) == (BATCH * one.macs, one.parameters, one.flash_bytes)


def test_arena_grows_by_the_input_and_the_output_alone() -> None:
    network, x = make_network()
    one = Runtime(encode(replace(network, batch=1)))
    runtime = Runtime(MODEL)
    ports = x.nbytes + runtime.output.nbytes
    alignment = 2 * 3
    for alone, together in zip(one.subnetworks, runtime.subnetworks, strict=True):
        assert together.arena_bytes <= alone.arena_bytes + ports + alignment


@pytest.mark.parametrize("subnetwork", [0, 1])
def test_peak_is_used_to_the_byte(subnetwork: int) -> None:
    runtime = Runtime(MODEL)
    peak = runtime.subnetworks[subnetwork].arena_bytes
    runtime.select(subnetwork)
    written = np.zeros(len(runtime.arena), bool)
    for fill in (0x00, 0xFF):
        runtime.arena[:] = fill
        runtime.invoke(INPUT)
        written |= runtime.arena != fill
    assert written[peak - 1]
    assert not written[peak:].any()
    assert runtime.guards_intact


def test_ports_have_the_bytes_of_all_samples() -> None:
    _, context = Opening.of(MODEL).open()
    assert REDS.reds_input(context).bytes == BATCH * 15
    assert REDS.reds_output(context).bytes == BATCH * 5


class TestStep:
    def test_equals_invoke(self) -> None:
        runtime = Runtime(MODEL)
        expected = runtime.invoke(INPUT)
        runtime.input[...] = INPUT
        steps = 1
        while runtime.step():
            steps += 1
        assert steps == BATCH * len(SPECS)
        np.testing.assert_array_equal(runtime.output, expected)
        assert len(runtime.profile(INPUT)) == steps

    @pytest.mark.parametrize("steps", [1, len(SPECS), len(SPECS) + 1, BATCH * len(SPECS)])
    def test_invoke_abandons_what_was_begun(self, steps: int) -> None:
        runtime = Runtime(MODEL)
        expected = runtime.invoke(INPUT)
        for _ in range(steps):
            runtime.step()
        np.testing.assert_array_equal(runtime.invoke(INPUT), expected)

    def test_selection_waits_for_the_next_inference(self) -> None:
        runtime = Runtime(MODEL)
        expected = runtime.invoke(INPUT)
        runtime.input[...] = INPUT
        runtime.step()
        runtime.select(1)
        while runtime.step():
            pass
        np.testing.assert_array_equal(runtime.output, expected)

    @pytest.mark.parametrize("steps", range(1, BATCH * len(SPECS) + 1))
    def test_no_change_in_flight(self, steps: int) -> None:
        runtime = Runtime(MODEL)
        expected = runtime.invoke(INPUT)
        runtime.input[...] = INPUT
        remains = True
        for _ in range(steps):
            remains = runtime.step()
        with pytest.raises(UsageError, match="go on"):
            runtime.continue_in(1)
        with pytest.raises(UsageError):
            runtime.continue_within(1 << 31)
        while remains:
            remains = runtime.step()
        np.testing.assert_array_equal(runtime.output, expected)

    def test_observer_counts_the_steps_of_each_sample(self) -> None:
        events: list[tuple[int, ...]] = []

        @LIBRARY.ffi.callback("void(void *, uint32_t, uint32_t, uint32_t, int)")
        def observe(user: Any, *event: int) -> None:
            events.append(event)

        opening = Opening.of(MODEL, observer=observe)
        _, context = opening.open()
        REDS.reds_invoke(context)
        assert [step for step, _, _, finished in events if finished] == [*range(len(SPECS))] * BATCH


class TestShapes:
    def test_others_are_refused(self) -> None:
        for x in (INPUT[:2], INPUT[0], INPUT[np.newaxis, :2]):
            with pytest.raises(UsageError, match=r"must have the shape \(3, 5, 3, 1\)"):
                Runtime(MODEL).invoke(x)


def of_shape(which: str, *shape: int, **fields: int) -> Callable[[schema.PlanT], None]:
    return change_port(which, shape=np.array(shape, np.uint32), **fields)


def with_arena(arena_bytes: int) -> Callable[[schema.PlanT], None]:
    def change(plan: schema.PlanT) -> None:
        for item in (*plan.subnetworks, *plan.ranking):
            item.arenaBytes = arena_bytes

    return change


def shift(plan: schema.PlanT) -> None:
    """All four bytes to the front, so that the first sample of the input, which begins at 2, begins at -2."""
    for subnetwork in plan.subnetworks:
        for tensor in subnetwork.tensors:
            tensor.offset -= 4
    plan.input.offset, plan.output.offset = (1 << 32) - 2, plan.output.offset - 4


PLAN = read_model_file(MODEL).plan
HIDDEN = 3
"""The tensor of the mean, which has four bytes."""
LAST_INPUT = PLAN.subnetworks[0].tensors[0].offset
END = PLAN.subnetworks[0].arenaBytes
BROKEN_RULES = {
    "no samples": lambda plan: [of_shape("input", 0, 5, 3, 1)(plan), of_shape("output", 0, 5)(plan)],
    "no shape": of_shape("input"),
    "samples of the input alone": of_shape("input", 4, 5, 3, 1),
    "samples of the output alone": of_shape("output", 4, 5),
    "samples of the output without the batch first": of_shape("output", 5, 3),
    "one sample in place of all": lambda plan: [of_shape("input", 1, 5, 3, 1)(plan), of_shape("output", 1, 5)(plan)],
    "a sample more": lambda plan: [of_shape("input", 4, 5, 3, 1)(plan), of_shape("output", 4, 5)(plan)],
    "bytes of all samples": change_port("input", bytes=45),
    "no bytes": change_port("output", bytes=0),
    "place of the input": lambda plan: change_port("input", offset=plan.input.offset + 4)(plan),
    "place of the input before the arena": change_port("input", offset=(1 << 32) - 2),
    "place of the output": lambda plan: change_port("output", offset=plan.output.offset - 4)(plan),
    "place of the last sample": change_tensor(0, offset=LAST_INPUT + 4),
    "place of the first output": change_tensor(len(SPECS), offset=PLAN.output.offset - 4),
    "a tensor over samples that wait": change_tensor(HIDDEN, offset=4),
    "a tensor over outputs that are done": change_tensor(HIDDEN, offset=PLAN.output.offset + 8),
    "an arena without the last output": with_arena(END - 1),
    "samples before the arena": shift,
    "elements of the input": of_shape("input", 3, 5, 3, 2),
    "elements of the output": of_shape("output", 3, 6),
    "rows of the input": change_layer(0, inputHeight=15),
}


@pytest.mark.parametrize("rule", BROKEN_RULES)
def test_broken_rule(rule: str) -> None:
    assert Opening.of(with_plan(MODEL, BROKEN_RULES[rule])).open()[0] == REDS.REDS_ERROR_PLAN


def test_bytes_that_wrap_around() -> None:
    """Without the limit of 2^31 bytes, what 32 bits count of the ports is what it was."""
    network = NetworkBuilder(ElementType.INT8, (2, 2, 4), seed=9, batch=BATCH).build([LayerSpec(Conv2D((1, 1)), 4)])
    model, samples = encode(network), BATCH + (1 << 32) // 16

    def change(plan: schema.PlanT) -> None:
        of_shape("input", samples, 2, 2, 4)(plan)
        of_shape("output", samples, 2, 2, 4)(plan)

    assert Opening.of(with_plan(model, lambda plan: None)).open()[0] == REDS.REDS_OK
    assert Opening.of(with_plan(model, change)).open()[0] == REDS.REDS_ERROR_PLAN


def test_unbroken_rules() -> None:
    """What the broken rules are made from. The last sample of the input is aligned; the first one need not be."""
    assert Opening.of(with_plan(MODEL, lambda plan: None)).open()[0] == REDS.REDS_OK
    assert (PLAN.input.offset, LAST_INPUT) == (2, 2 + 2 * 15)


@pytest.mark.skipif(shutil.which(QEMU) is None, reason=f"needs `{QEMU}`")
@pytest.mark.parametrize("board", ["qemu:cortex-m4", "qemu:cortex-m0plus"])
@pytest.mark.parametrize("specs", [SPECS, CONVERTED_SPECS])
def test_the_same_bytes_on_a_board(tmp_path: Path, board: str, specs: list[LayerSpec]) -> None:
    network, x = make_network(specs=specs)
    path = tmp_path / "model.tflite"
    path.write_bytes(encode(network))
    runtime = Runtime(path)
    with boot(board, path) as url, Bench(url) as bench:
        for subnetwork in (0, 1):
            runtime.select(subnetwork)
            expected = runtime.invoke(x).reshape(-1)
            result = run_batch(bench, subnetwork, x[np.newaxis], runtime.output.dtype)
            np.testing.assert_array_equal(result.outputs[0], expected)
        assert len(bench.operations()) == BATCH * len(specs)
