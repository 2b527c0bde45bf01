"""The C interface of libreds: statuses, selection, stepping, memory."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as tflite
from model_builder import LayerSpec, NetworkBuilder, network_with_views
from numpy.typing import NDArray

from reds.compiled import EMITTED_TYPES, CompiledNetwork, ElementType
from reds.emitting import encode, extract
from reds.emitting.standard import AlignedBuffer, pack
from reds.graph import (
    INPUT,
    Activation,
    Add,
    BatchMatMul,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    Crop,
    Dense,
    DepthwiseConv2D,
    Dequantize,
    Mean,
    Multiply,
    Pad,
    Pool2D,
    PRelu,
    Quantize,
    Requantize,
    Resize,
    Slice,
    Subtract,
    Transpose,
    Upsample,
)
from reds.model_file import read_model_file, with_checksum
from reds.plan import Measurements, TargetCosts, pack_plan
from reds.reference import run_tflite_micro
from reds.runtime import Runtime, load_library
from reds.schema import reds_generated as schema

CONTEXT_WORDS = 20
INPUT_SHAPE = (8, 6, 2)
WIDTHS = ([3, 3, 3, 3, 3, 4, 4], [5, 5, 5, 5, 5, 4, 4])
"""Of two narrow subnetworks; the first is the smaller one."""
ACCURACIES = (0.9, 0.7, 0.8)
INSTRUCTIONS = (9000, 3000, 0)

LIBRARY = load_library()
REDS = LIBRARY.functions


def make_network(element_type: ElementType = ElementType.INT8) -> tuple[CompiledNetwork, NDArray]:
    """A network of every operation, and inputs to it."""
    builder = NetworkBuilder(element_type, INPUT_SHAPE, seed=7)
    specs = [
        LayerSpec(Conv2D((3, 3), (2, 1), "same"), 8, "relu"),
        LayerSpec(DepthwiseConv2D((3, 2), padding="same")),
        LayerSpec(Activation("relu6")),
        LayerSpec(Pool2D("max", (2, 2), (2, 2), "same")),
        LayerSpec(Pool2D("average", (2, 3), (1, 1))),
        LayerSpec(Dense(), 4),
        LayerSpec(Activation("softmax")),
    ]
    return builder.build(specs, WIDTHS), builder.input(3)


NETWORK, INPUTS = make_network()
MODEL = encode(NETWORK, Measurements(ACCURACIES, (TargetCosts("cortex-m4", True, INSTRUCTIONS),)))


def aligned(size: int, misalignment: int = 0) -> NDArray[np.uint8]:
    memory = np.zeros(size + 32, np.uint8)
    start = -memory.ctypes.data % 16 + misalignment
    return memory[start : start + size]


@dataclass
class Opening:
    """The arguments of one call of reds_open; keeps their memory alive."""

    model: NDArray[np.uint8]
    arena: NDArray[np.uint8]
    arena_bytes: int
    flags: int = 0
    target: bytes = b"cortex-m4"
    observer: Any = LIBRARY.ffi.NULL

    @classmethod
    def of(cls, model: bytes = MODEL, arena_bytes: int = 4096, **changes: Any) -> "Opening":
        memory = aligned(len(model))
        memory[:] = np.frombuffer(model, np.uint8)
        return replace(cls(memory, aligned(arena_bytes), arena_bytes), **changes)

    def open(self) -> tuple[int, Any]:
        ffi = LIBRARY.ffi
        self._target = ffi.new("char[]", self.target)
        config = {
            "model": ffi.cast("void *", self.model.ctypes.data),
            "model_bytes": len(self.model),
            "arena": ffi.cast("void *", self.arena.ctypes.data),
            "arena_bytes": self.arena_bytes,
            "target": self._target,
            "observer": self.observer,
            "flags": self.flags,
        }
        context = ffi.new("reds_context *")
        return REDS.reds_open(context, ffi.new("reds_config *", config)), context


def with_plan(model: bytes, change: Callable[[schema.PlanT], None]) -> bytes:
    """The model with a changed plan and the right checksum."""
    file = read_model_file(model)
    change(file.plan)
    entry = file.model.metadata[0]
    file.model.buffers[entry.buffer].data = np.frombuffer(pack_plan(file.plan), np.uint8)
    for index, buffer in enumerate(file.model.buffers):
        file.model.buffers[index] = AlignedBuffer()
        file.model.buffers[index].data = buffer.data
    return with_checksum(pack(file.model))


def test_context_is_twenty_words() -> None:
    assert LIBRARY.ffi.sizeof("reds_context") == CONTEXT_WORDS * LIBRARY.ffi.sizeof("uintptr_t")


class TestOpen:
    def test_null_and_misaligned_arguments(self) -> None:
        ffi = LIBRARY.ffi
        assert REDS.reds_open(ffi.NULL, ffi.new("reds_config *")) == REDS.REDS_ERROR_ARGUMENT
        assert REDS.reds_open(ffi.new("reds_context *"), ffi.NULL) == REDS.REDS_ERROR_ARGUMENT
        assert REDS.reds_open(ffi.new("reds_context *"), ffi.new("reds_config *")) == REDS.REDS_ERROR_ARGUMENT
        model = aligned(len(MODEL), misalignment=8)
        model[:] = np.frombuffer(MODEL, np.uint8)
        assert Opening.of(model=MODEL, arena=aligned(64, misalignment=4)).open()[0] == REDS.REDS_ERROR_ARGUMENT
        opening = Opening.of()
        opening.model = model
        assert opening.open()[0] == REDS.REDS_ERROR_ARGUMENT

    def test_not_a_model(self) -> None:
        assert Opening.of(b"not a model, but long enough to be read").open()[0] == REDS.REDS_ERROR_MODEL
        assert Opening.of(b"").open()[0] == REDS.REDS_ERROR_MODEL

    def test_model_without_plan(self) -> None:
        tree = tflite.ModelT.InitFromPackedBuf(MODEL)
        tree.metadata = None
        assert Opening.of(pack(tree)).open()[0] == REDS.REDS_ERROR_NO_PLAN

    def test_version(self) -> None:
        def next_major(plan: schema.PlanT) -> None:
            plan.formatMajor += 1

        def later_minor(plan: schema.PlanT) -> None:
            plan.formatMinor += 7

        file = bytearray(with_plan(MODEL, later_minor))
        assert Opening.of(bytes(file)).open()[0] == REDS.REDS_OK
        assert Opening.of(with_plan(MODEL, next_major)).open()[0] == REDS.REDS_ERROR_VERSION

    def test_every_changed_byte_breaks_the_checksum(self) -> None:
        opening = Opening.of()
        statuses = set()
        for position in range(len(MODEL)):
            opening.model[position] ^= 0x10
            statuses.add(opening.open()[0])
            opening.model[position] ^= 0x10
        assert REDS.REDS_ERROR_CHECKSUM in statuses
        assert all(status < 0 for status in statuses)

    def test_trusted_flash_skips_the_checksum_only(self) -> None:
        opening = Opening.of(flags=REDS.REDS_TRUST_FLASH)
        weights = NETWORK.layers[0].weights
        assert weights is not None
        position = MODEL.index(weights.tobytes())
        opening.model[position] ^= 1
        assert opening.open()[0] == REDS.REDS_OK

    def test_arena(self) -> None:
        runtime = Runtime(MODEL)
        needs = [info.arena_bytes for info in runtime.subnetworks]
        assert needs[1] < needs[2] < needs[0]
        assert Opening.of(arena_bytes=needs[1] - 1).open()[0] == REDS.REDS_ERROR_ARENA
        opening = Opening.of(arena_bytes=needs[2])
        status, context = opening.open()
        assert status == REDS.REDS_OK
        assert REDS.reds_selected(context) == 2  # the most accurate one that fits
        assert REDS.reds_select(context, 0) == REDS.REDS_ERROR_ARENA
        assert REDS.reds_selected(context) == 2


def change_layer(index: int, **fields: float) -> Callable[[schema.PlanT], None]:
    return lambda plan: vars(plan.layers[index]).update(fields)


def change_step(index: int, **fields: float) -> Callable[[schema.PlanT], None]:
    return lambda plan: vars(plan.subnetworks[0].steps[index]).update(fields)


def change_tensor(index: int, **fields: float) -> Callable[[schema.PlanT], None]:
    return lambda plan: vars(plan.subnetworks[0].tensors[index]).update(fields)


def change_subnetwork(**fields: Any) -> Callable[[schema.PlanT], None]:
    return lambda plan: vars(plan.subnetworks[0]).update(fields)


def change_constant(step: int, word: int, value: int) -> Callable[[schema.PlanT], None]:
    def change(plan: schema.PlanT) -> None:
        plan.constants = np.array(plan.constants)
        plan.constants[plan.subnetworks[0].steps[step].constants + word] = value

    return change


def change_plan(**fields: Any) -> Callable[[schema.PlanT], None]:
    return lambda plan: vars(plan).update(fields)


FULL = NETWORK.subnetworks[0].steps
BROKEN_RULES = {
    "element type": change_plan(elementType=2),
    "no layers": change_plan(layers=[]),
    "no subnetworks": change_plan(subnetworks=[]),
    "no ranking": change_plan(ranking=[]),
    "no exits": change_plan(exits=[]),
    "no constants": change_plan(constants=None),
    "no input": change_plan(input=None),
    "operation": change_layer(0, operation=schema.Operation.BatchMatMul + 1),
    "activation": change_layer(0, activation=3),
    "no rows": change_layer(0, inputHeight=0),
    "no channels": change_layer(0, outputChannels=0),
    "no stride": change_layer(0, strideHeight=0),
    "no dilation": change_layer(0, dilationWidth=0),
    "no kernel": change_layer(0, kernelHeight=0),
    "padding": change_layer(0, paddingTop=3),
    "rows beyond the map": change_layer(3, strideHeight=9),
    "weights index": change_layer(0, weights=1000),
    "weights size": change_layer(0, kernelWidth=2),
    "weights of a pool": change_layer(3, weights=1),
    "no weights": change_layer(0, weights=0),
    "depth multiplier": change_layer(1, inputChannels=3),
    "dilated pool": change_layer(3, dilationHeight=2),
    "layer index": change_step(0, layer=7),
    "input index": change_step(1, input=100),
    "output index": change_step(1, output=100),
    "input from the future": change_step(1, input=3),
    "input that was overwritten": change_step(3, input=1),
    "output over the input": change_step(0, output=0),
    "output twice": change_step(1, output=1),
    "constants index": change_step(0, constants=1 << 31),
    "constants behind the end": change_step(5, constants=10**6),
    "activation range": change_step(0, activationMinimum=3, activationMaximum=2),
    "shift": change_constant(0, 2 * FULL[0].output_channels, 0x0000001F),
    "softmax shift": change_constant(6, 1, 32),
    "softmax difference": change_constant(6, 2, 0x80000000),
    "tensor without channels": change_tensor(1, channels=0),
    "more channels than the layer": change_tensor(1, channels=9),
    "channels that do not match": change_tensor(2, channels=7),
    "misaligned tensor": change_tensor(1, offset=1),
    "tensor behind the arena": change_tensor(1, offset=1 << 30),
    "zero point": change_tensor(1, zeroPoint=128),
    "input away from its port": change_tensor(0, offset=4),
    "input with another scale": change_tensor(0, scale=1.0),
    "output with another zero point": change_tensor(7, zeroPoint=0),
    "overlapping input and output": change_tensor(1, offset=0),
    "no steps": change_subnetwork(steps=[]),
    "no tensors": change_subnetwork(tensors=[]),
    "exit index": change_subnetwork(exit=1),
    "arena too small": change_subnetwork(arenaBytes=10),
    "arena too large": change_subnetwork(arenaBytes=1 << 31),
    "costs differ from the ranking": change_subnetwork(macs=1),
    "exit tap": lambda plan: vars(plan.exits[0]).update(tap=7),
    "port size": lambda plan: vars(plan.output).update(bytes=5),
    "port shape": lambda plan: vars(plan.output).update(shape=np.array([65536, 65536], np.uint32)),
    "port offset": lambda plan: vars(plan.output).update(offset=2),
    "subnetwork ranked twice": lambda plan: vars(plan.ranking[1]).update(vars(plan.ranking[0])),
    "rank index": lambda plan: vars(plan.ranking[0]).update(subnetwork=3),
    "target size": lambda plan: vars(plan.targets[0]).update(instructions=np.array([1, 2], np.uint32)),
}


@pytest.mark.parametrize("rule", BROKEN_RULES)
def test_broken_rule(rule: str) -> None:
    assert Opening.of(with_plan(MODEL, BROKEN_RULES[rule])).open()[0] == REDS.REDS_ERROR_PLAN


BORDERED = encode(
    NetworkBuilder(ElementType.INT8, INPUT_SHAPE, seed=7).build(
        [
            LayerSpec(Conv2D((1, 1)), 4),
            LayerSpec(Pad((1, 0), (0, 2))),
            LayerSpec(Activation("leaky_relu", 0.25)),
            LayerSpec(Requantize()),
            LayerSpec(Upsample((2, 1))),
            LayerSpec(Conv2DTranspose((3, 2), (2, 1), "same"), 3),
            LayerSpec(Crop((30, 1), (2, 1))),
            LayerSpec(Slice(1), 2),
            LayerSpec(Conv2D((1, 1)), 3),
        ]
    )
)
BROKEN_RULES_OF_BORDERED = {
    "border above": change_layer(1, paddingTop=2),
    "border to the left": change_layer(1, paddingLeft=3),
    "smaller than its input": change_layer(1, outputWidth=5),
    "channels of a border": change_layer(1, outputChannels=5),
    "weights of a border": change_layer(1, weights=1),
    "border in place": lambda plan: change_tensor(2, offset=plan.subnetworks[0].tensors[1].offset)(plan),
    "rows of a function": change_layer(2, outputHeight=8),
    "channels of a function": change_tensor(3, channels=3),
    "channels of another quantisation": change_tensor(4, channels=3),
    "table of a quantisation behind the end": lambda plan: change_step(3, constants=len(plan.constants) - 63)(plan),
    "part of a repeated row": change_layer(4, strideHeight=3),
    "columns of a repeated map": change_layer(4, outputWidth=21),
    "channels of a repeated map": change_layer(4, outputChannels=5),
    "no stride of a transposed kernel": change_layer(5, strideWidth=0),
    "dilated transposed kernel": change_layer(5, dilationHeight=2),
    "size of a transposed kernel": change_layer(5, kernelWidth=3),
    "no transposed kernel": change_layer(5, weights=0),
    "shift of a transposed kernel": change_constant(5, 2 * 3, 0x0000001F),
    "rows behind a cropped map": change_layer(6, paddingTop=32),
    "columns behind a cropped map": change_layer(6, paddingLeft=4),
    "channels behind a cropped map": change_layer(6, kernelWidth=1),
    "channels behind a slice": change_layer(7, kernelWidth=2),
    "some of a slice": change_tensor(8, channels=1),
    "table behind the end": lambda plan: change_step(2, constants=len(plan.constants) - 63)(plan),
}


@pytest.mark.parametrize("rule", BROKEN_RULES_OF_BORDERED)
def test_broken_rule_of_borders_and_tables(rule: str) -> None:
    assert Opening.of(with_plan(BORDERED, BROKEN_RULES_OF_BORDERED[rule])).open()[0] == REDS.REDS_ERROR_PLAN


REARRANGED = encode(
    NetworkBuilder(ElementType.INT8, (4, 3, 2), seed=3).build(
        [
            LayerSpec(Conv2D((1, 1)), 4),
            LayerSpec(Transpose((2, 0, 1))),
            LayerSpec(Conv2D((1, 1)), 3),
            LayerSpec(BatchMatMul(transpose_second=True), inputs=(2, 1)),
            LayerSpec(Resize((5, 2), align_corners=True)),
            LayerSpec(Conv2D((1, 1)), 3),
        ]
    )
)
BROKEN_RULES_OF_REARRANGED = {
    "a fourth dimension": change_layer(1, kernelHeight=3),
    "one dimension twice": change_layer(1, kernelWidth=2),
    "dimensions of other sizes": change_layer(1, kernelHeight=1, kernelWidth=2),
    "channels of a transpose": change_layer(1, outputChannels=2),
    "some channels of a transpose": change_tensor(1, channels=3),
    "weights of a transpose": change_layer(1, weights=1),
    "matrices summed over rows": change_layer(3, kernelHeight=0),
    "matrices summed over a fourth dimension": change_layer(3, kernelHeight=3),
    "second matrices summed over rows": change_layer(3, kernelWidth=0),
    "second matrices summed over a fourth dimension": change_layer(3, kernelWidth=3),
    "second matrices of another depth": change_layer(3, kernelWidth=1),
    "first matrices of another depth": change_layer(3, kernelHeight=1),
    "another number of matrices": change_layer(3, outputHeight=3),
    "another number of rows": change_layer(3, outputWidth=3),
    "another number of columns": change_layer(3, outputChannels=3),
    "more products than a sum can hold": change_layer(3, inputChannels=32768),
    "weights of a product of matrices": change_layer(3, weights=1),
    "second matrices from the future": change_constant(3, 0, 5),
    "second matrices are the output": change_constant(3, 0, 4),
    "shift of a product of matrices": change_constant(3, 2, 31),
    "constants of matrices behind the end": lambda plan: change_step(3, constants=len(plan.constants) - 2)(plan),
    "product of matrices in place": lambda plan: change_tensor(4, offset=plan.subnetworks[0].tensors[2].offset)(plan),
    "a row that is not there": change_constant(4, 0, 4 << 16),
    "a column that is not there": change_constant(4, 3, 4 << 16),
    "a stride of one direction": change_layer(4, strideHeight=1),
    "channels of a resized map": change_layer(4, outputChannels=3),
    "rows and columns behind the end": lambda plan: change_step(4, constants=len(plan.constants) - 3)(plan),
    "resized in place": lambda plan: change_tensor(5, offset=plan.subnetworks[0].tensors[4].offset)(plan),
    "transpose in place": lambda plan: change_tensor(2, offset=plan.subnetworks[0].tensors[1].offset)(plan),
}


@pytest.mark.parametrize("rule", BROKEN_RULES_OF_REARRANGED)
def test_broken_rule_of_rearranged_maps(rule: str) -> None:
    assert Opening.of(with_plan(REARRANGED, BROKEN_RULES_OF_REARRANGED[rule])).open()[0] == REDS.REDS_ERROR_PLAN


SCALED_SPECS = [
    LayerSpec(Conv2D((1, 1)), 4),
    LayerSpec(Add(spread=True), inputs=(0,)),
    LayerSpec(Subtract(exchanged=True), inputs=(1,)),
    LayerSpec(Multiply(spread=True), inputs=(2,), scalar=True),
    LayerSpec(Conv2D((1, 1)), 3),
]
SCALED = encode(NetworkBuilder(ElementType.INT8, (4, 3, 2), seed=3).build(SCALED_SPECS))
BROKEN_RULES_OF_CONSTANT_OPERANDS = {
    "no such constants": change_layer(1, weights=1000),
    "constants of the channels for each element": change_layer(1, kernelHeight=1, kernelWidth=1),
    "constants of the elements for each channel": change_layer(2, kernelHeight=4, kernelWidth=3),
    "one constant for one position": change_layer(3, kernelHeight=1, kernelWidth=1),
    "a tensor in place of constants": change_layer(2, weights=0),
    "zero point of constants": change_constant(1, 0, 128),
    "zero point of a constant factor": change_constant(3, 0, (1 << 32) - 129),
    "numbers of constants behind the end": lambda plan: change_step(3, constants=len(plan.constants) - 2)(plan),
}


@pytest.mark.parametrize("rule", BROKEN_RULES_OF_CONSTANT_OPERANDS)
def test_broken_rule_of_constant_operands(rule: str) -> None:
    assert Opening.of(with_plan(SCALED, BROKEN_RULES_OF_CONSTANT_OPERANDS[rule])).open()[0] == REDS.REDS_ERROR_PLAN


def test_constants_for_each_element_keep_all_channels() -> None:
    narrowed = encode(NetworkBuilder(ElementType.INT8, (4, 3, 2), seed=3).build(SCALED_SPECS, [[3, 0, 0, 0, 3]]))
    assert Opening.of(narrowed).open()[0] == REDS.REDS_ERROR_PLAN


GROUPED_SPECS = [
    LayerSpec(Conv2D((1, 1)), 6),
    LayerSpec(Conv2D((2, 2), padding="same", groups=3), 9),
    LayerSpec(Conv2D((1, 1)), 3),
]
GROUPED = encode(NetworkBuilder(ElementType.INT8, INPUT_SHAPE, seed=7).build(GROUPED_SPECS))
NARROWED_GROUPS = {
    "narrowed input": [5, 9, 3],
    "narrowed output": [6, 8, 3],
    "narrowed by whole groups": [4, 6, 3],
}
BROKEN_GROUPS = {
    "no groups": change_layer(0, groups=0),
    "groups that do not divide the input": change_layer(1, groups=9),
    "groups that do not divide the output": change_layer(1, groups=2),
    "more groups than channels": change_layer(1, groups=18),
    "weights of other groups": change_layer(1, groups=1),
    "groups of an ungrouped layer": change_layer(2, groups=3),
    "groups of another operation": change_layer(1, operation=schema.Operation.DepthwiseConv2D),
    "groups before version 1.1": change_plan(formatMinor=0),
}


@pytest.mark.parametrize("rule", BROKEN_GROUPS)
def test_broken_rule_of_groups(rule: str) -> None:
    assert Opening.of(with_plan(GROUPED, BROKEN_GROUPS[rule])).open()[0] == REDS.REDS_ERROR_PLAN


@pytest.mark.parametrize("widths", NARROWED_GROUPS.values(), ids=list(NARROWED_GROUPS))
def test_a_grouped_convolution_keeps_its_channels(widths: list[int]) -> None:
    narrowed = encode(NetworkBuilder(ElementType.INT8, INPUT_SHAPE, seed=7).build(GROUPED_SPECS, [widths]))
    assert Opening.of(narrowed).open()[0] == REDS.REDS_ERROR_PLAN


def test_a_file_of_version_1_0_is_read() -> None:
    """It has zeros in place of groups."""

    def as_1_0(plan: schema.PlanT) -> None:
        plan.formatMinor = 0
        for layer in plan.layers:
            layer.groups = 0

    older = with_plan(MODEL, as_1_0)
    np.testing.assert_array_equal(Runtime(older).invoke(INPUTS), Runtime(MODEL).invoke(INPUTS))
    assert extract(older, 1) == extract(MODEL, 1)
    mixed = with_plan(older, change_layer(0, groups=1))
    assert Opening.of(mixed).open()[0] == REDS.REDS_ERROR_PLAN


BRANCHES = encode(
    NetworkBuilder(ElementType.INT8, (4, 3, 2), seed=3).build(
        [
            LayerSpec(Conv2D((1, 1)), 4),
            LayerSpec(Conv2D((1, 1)), 4, inputs=(INPUT,)),
            LayerSpec(Add(), inputs=(0, 1)),
            LayerSpec(Concatenate(), inputs=(2, INPUT, 1)),
            LayerSpec(Pool2D("max", (2, 2), (2, 2), "same")),
            LayerSpec(Conv2D((1, 1)), 3),
        ],
        [[3, 3, 0, 0, 0, 3]],
    )
)
SUM, JOIN = 2, 3
BROKEN_BRANCHES = {
    "shape of a sum": change_layer(SUM, outputChannels=5),
    "shape of a concatenation": change_layer(JOIN, outputChannels=4),
    "weights of a sum": change_layer(SUM, weights=1),
    "second index of a sum": change_constant(SUM, 0, 100),
    "second of a sum from the future": change_constant(SUM, 0, 5),
    "second of a sum is its output": change_constant(SUM, 0, SUM + 1),
    "second of a sum has other channels": change_constant(SUM, 0, 0),
    "left shift of a sum": change_constant(SUM, 1, 21),
    "negative left shift of a sum": change_constant(SUM, 1, 1 << 31),
    "left shift of an input": change_constant(SUM, 3, 1),
    "right shift of an input": change_constant(SUM, 5, (1 << 32) - 32),
    "left shift of an output": change_constant(SUM, 7, 1),
    "constants of a sum behind the end": change_step(SUM, constants=10**6),
    "nothing to join": change_constant(JOIN, 0, 0),
    "less to join than channels": change_constant(JOIN, 0, 1),
    "more to join than allowed": change_constant(JOIN, 0, 10),
    "more to join than there are words": change_constant(JOIN, 0, (1 << 32) - 1),
    "index of what is joined": change_constant(JOIN, 1, 100),
    "joined tensor is the output": change_constant(JOIN, 1, JOIN + 1),
    "joined tensor of another size": change_constant(JOIN, 1, 5),
    "constants of a concatenation behind the end": change_step(JOIN, constants=(1 << 32) - 1),
    "second input overwritten": change_tensor(SUM, offset=0),
}


@pytest.mark.parametrize("rule", BROKEN_BRANCHES)
def test_broken_rule_of_branches(rule: str) -> None:
    assert Opening.of(with_plan(BRANCHES, BROKEN_BRANCHES[rule])).open()[0] == REDS.REDS_ERROR_PLAN


@pytest.mark.parametrize("element_type", ElementType)
def test_views_equal_reshapes(element_type: ElementType) -> None:
    network, inputs = network_with_views(element_type)
    model = encode(network)
    found, expected = Runtime(model).invoke(inputs), run_tflite_micro(extract(model, 0), inputs)
    tolerance = 1e-5 * np.abs(expected).max() if element_type is ElementType.FLOAT32 else 0
    np.testing.assert_allclose(found.astype(float), expected.astype(float), rtol=0, atol=tolerance)


VIEWS = encode(network_with_views(ElementType.INT8)[0])
INPUT_VIEW, SUMMAND_VIEW, SUM_VIEW = 6, 7, 8
BROKEN_VIEWS = {
    "view behind what it views": change_tensor(SUM_VIEW, offset=1 << 16),
    "view of a part": change_tensor(SUM_VIEW, channels=47),
    "view of more": change_layer(3, inputHeight=2),
    "view away from its tensor": lambda plan: change_tensor(
        SUMMAND_VIEW, offset=plan.subnetworks[0].tensors[SUMMAND_VIEW].offset + 4
    )(plan),
    "view of the input with another scale": change_tensor(INPUT_VIEW, scale=1.0),
    "view of the input away from it": change_tensor(INPUT_VIEW, offset=4),
    "second index is a view of the output": change_constant(2, 0, SUM_VIEW),
    "view of what is overwritten": lambda plan: change_tensor(2, offset=plan.subnetworks[0].tensors[1].offset - 4)(
        plan
    ),
    "shape of a written tensor": change_step(3, input=3),
    "table of a ReLU behind the end": lambda plan: change_step(4, constants=len(plan.constants) - 63)(plan),
}


@pytest.mark.parametrize("rule", BROKEN_VIEWS)
def test_broken_rule_of_views(rule: str) -> None:
    assert Opening.of(with_plan(VIEWS, BROKEN_VIEWS[rule])).open()[0] == REDS.REDS_ERROR_PLAN


SPREAD = encode(
    NetworkBuilder(ElementType.INT8, (4, 3, 2), seed=3).build(
        [
            LayerSpec(Conv2D((1, 1)), 4),
            LayerSpec(Mean()),
            LayerSpec(Multiply(spread=True), inputs=(0, 1)),
            LayerSpec(Subtract(), inputs=(2, 0)),
            LayerSpec(PRelu()),
            LayerSpec(Conv2D((1, 1)), 3),
        ]
    )
)
MEAN, PRODUCT, DIFFERENCE, SLOPES = 1, 2, 3, 4
BROKEN_PAIRS = {
    "mean of a part": change_layer(MEAN, kernelHeight=2),
    "several means": change_layer(MEAN, outputHeight=2),
    "channels of a mean": change_layer(MEAN, outputChannels=5),
    "left shift of a mean": change_constant(MEAN, 1, 31),
    "constants of a mean behind the end": lambda plan: change_step(MEAN, constants=len(plan.constants) - 1)(plan),
    "shape of a product": change_layer(PRODUCT, outputChannels=5),
    "second of a product has more than one position": change_constant(PRODUCT, 0, 1),
    "spread over a part of the map": change_layer(PRODUCT, kernelHeight=2),
    "spread over nothing": change_layer(PRODUCT, kernelHeight=0),
    "not spread": change_layer(PRODUCT, kernelHeight=1, kernelWidth=1),
    "spread of a whole map": change_layer(DIFFERENCE, kernelHeight=4, kernelWidth=3),
    "left shift of a product": change_constant(PRODUCT, 2, 31),
    "right shift of a product": change_constant(PRODUCT, 2, (1 << 32) - 32),
    "constants of a product behind the end": lambda plan: change_step(PRODUCT, constants=len(plan.constants) - 2)(plan),
    "no slopes": change_layer(SLOPES, weights=0),
    "slopes of other channels": change_layer(SLOPES, weights=1),
    "channels of slopes": change_layer(SLOPES, outputChannels=5),
    "left shift of what is positive": change_constant(SLOPES, 1, 31),
    "left shift of what is negative": change_constant(SLOPES, 3, 31),
    "constants of slopes behind the end": lambda plan: change_step(SLOPES, constants=len(plan.constants) - 3)(plan),
    "left shift of a difference": change_constant(DIFFERENCE, 7, 1),
}


@pytest.mark.parametrize("rule", BROKEN_PAIRS)
def test_broken_rule_of_pairs(rule: str) -> None:
    assert Opening.of(with_plan(SPREAD, BROKEN_PAIRS[rule])).open()[0] == REDS.REDS_ERROR_PLAN


CONVERTED = {
    port: encode(
        NetworkBuilder(ElementType.INT8, (4, 3, 2), seed=3).build(
            [
                LayerSpec(Quantize(port)),
                LayerSpec(Conv2D((1, 1)), 2),
                LayerSpec(Conv2D((1, 1)), 2),
                LayerSpec(Requantize()),
                LayerSpec(Dequantize(port)),
            ]
        )
    )
    for port in ("float32", "uint8")
}
FIRST, LAST = 0, 4


def change_port(which: str, **fields: Any) -> Callable[[schema.PlanT], None]:
    return lambda plan: vars(getattr(plan, which)).update(fields)


def in_place(plan: schema.PlanT) -> None:
    """The widened output at the begin of its input."""
    tensors = plan.subnetworks[0].tensors
    tensors[LAST + 1].offset = plan.output.offset = tensors[LAST].offset


def quantize_what_was_written(plan: schema.PlanT) -> None:
    """As a second first step, with a tensor of four times as many channels as bytes."""
    plan.layers[FIRST + 3] = plan.layers[FIRST]
    plan.subnetworks[0].steps[FIRST + 3].constants = plan.subnetworks[0].steps[FIRST].constants


def write_the_port_early(plan: schema.PlanT) -> None:
    plan.layers[LAST - 1] = plan.layers[LAST]
    plan.subnetworks[0].steps[LAST - 1].constants = plan.subnetworks[0].steps[LAST].constants


BROKEN_PORTS = {
    "input of the plan's type": ("float32", change_port("input", type=0, bytes=24)),
    "output of the plan's type": ("float32", change_port("output", type=0, bytes=24)),
    "input of an unknown type": ("float32", change_port("input", type=3)),
    "bytes of a real input": ("float32", change_port("input", bytes=24)),
    "bytes of a real output": ("float32", change_port("output", bytes=24)),
    "real input read as integers": ("float32", change_layer(FIRST, operation=schema.Operation.Requantize)),
    "integers left in a real output": ("float32", change_layer(LAST, operation=schema.Operation.Requantize)),
    "shape of a real input": ("float32", change_layer(FIRST, outputChannels=3)),
    "second real input": ("float32", quantize_what_was_written),
    "second real output": ("float32", write_the_port_early),
    "second input of bytes": ("uint8", quantize_what_was_written),
    "second output of bytes": ("uint8", write_the_port_early),
    "widened in place": ("float32", in_place),
    "arena without the real output": ("float32", change_subnetwork(arenaBytes=48)),
    "zero point below bytes": ("uint8", change_port("input", zeroPoint=-1)),
    "zero point above bytes": ("uint8", change_port("output", zeroPoint=256)),
    "bytes read as integers": ("uint8", change_port("input", type=0)),
    "table of an input behind the end": ("uint8", lambda plan: change_step(FIRST, constants=len(plan.constants))(plan)),
    "table of an output behind the end": ("uint8", lambda plan: change_step(LAST, constants=len(plan.constants))(plan)),
    "real network with a converted input": ("plan", change_port("input", type=1)),
    "real network with bytes": ("plan", change_port("output", type=2, bytes=6)),
}
REAL = encode(NetworkBuilder(ElementType.FLOAT32, (1, 1, 6), seed=3).build([LayerSpec(Dense(), 6)]))


@pytest.mark.parametrize("rule", BROKEN_PORTS)
def test_broken_rule_of_ports(rule: str) -> None:
    which, change = BROKEN_PORTS[rule]
    model = {**CONVERTED, "plan": REAL}[which]
    assert Opening.of(with_plan(model, change)).open()[0] == REDS.REDS_ERROR_PLAN


WORDS = encode(
    NetworkBuilder(ElementType.INT16, (4, 3, 2), seed=3).build(
        [
            LayerSpec(DepthwiseConv2D((1, 1))),
            LayerSpec(Pool2D("max", (1, 1), (1, 1))),
            LayerSpec(Requantize()),
            LayerSpec(Add(), inputs=(2, 1)),
            LayerSpec(Mean()),
            LayerSpec(Dense(), 3),
            LayerSpec(Activation("softmax")),
        ]
    )
)
WIDE, POOLED, RESCALED, SUMMED, AVERAGED, NORMALISED = 0, 1, 2, 3, 4, 6
NO_RANGE = 0x80007FFF
BROKEN_WORDS = {
    "operation of other types": change_layer(RESCALED, operation=schema.Operation.HardSwish),
    "zero point of a tensor": change_tensor(RESCALED, zeroPoint=1),
    "zero point of a port": change_port("output", zeroPoint=1),
    "bytes at a port": change_port("input", type=2, bytes=24),
    "range of a convolution": change_constant(WIDE, 0, NO_RANGE),
    "range of a pool": change_constant(POOLED, 0, NO_RANGE),
    "range of another quantisation": change_constant(RESCALED, 0, NO_RANGE),
    "range of a sum": change_constant(SUMMED, 8, NO_RANGE),
    "range of a mean": change_constant(AVERAGED, 0, NO_RANGE),
    "high bias": change_constant(WIDE, 4, 1 << 14),
    "low bias": change_constant(WIDE, 5, (1 << 32) - (1 << 14) - 1),
    "left shift of a wide sum": change_constant(WIDE, 8, 0x0008),
    "right shift of a wide sum": change_constant(WIDE, 8, 0x00E0),
    "constants of a convolution behind the end": lambda plan: change_step(WIDE, constants=len(plan.constants) - 8)(
        plan
    ),
    "first words of a convolution behind the end": lambda plan: change_step(WIDE, constants=len(plan.constants) - 1)(
        plan
    ),
    "constants of a pool behind the end": lambda plan: change_step(POOLED, constants=len(plan.constants))(plan),
    "left shift of another quantisation": change_constant(RESCALED, 2, 31),
    "left shift of a mean": change_constant(AVERAGED, 2, 31),
    "left shift of a sum": change_constant(SUMMED, 1, 16),
    "left shift of an input": change_constant(SUMMED, 3, 1),
    "left shift of a difference to the maximum": change_constant(NORMALISED, 1, 31),
    "negative exponential": change_constant(NORMALISED, 2, 0x8000),
    "no exponential of the maximum": change_constant(NORMALISED, 2 + 256, 0),
    "tables behind the end": lambda plan: change_step(NORMALISED, constants=len(plan.constants) - 515)(plan),
}


@pytest.mark.parametrize("rule", BROKEN_WORDS)
def test_broken_rule_of_int16(rule: str) -> None:
    assert Opening.of(with_plan(WORDS, BROKEN_WORDS[rule])).open()[0] == REDS.REDS_ERROR_PLAN


def test_ports_are_described_in_their_own_type() -> None:
    for port, type in (("float32", REDS.REDS_FLOAT32), ("uint8", REDS.REDS_UINT8)):
        opening = Opening.of(CONVERTED[port])
        status, context = opening.open()
        assert status == REDS.REDS_OK
        for tensor in (REDS.reds_input(context), REDS.reds_output(context)):
            assert tensor.type == type
            assert (tensor.scale, tensor.zero_point) == (0, 0) if port == "float32" else tensor.scale > 0


@pytest.mark.parametrize("model", [MODEL, BRANCHES, BORDERED, GROUPED, VIEWS, SPREAD, REAL, WORDS, *CONVERTED.values()])
def test_unbroken_rules(model: bytes) -> None:
    """What the broken rules are made from."""
    assert Opening.of(with_plan(model, lambda plan: None)).open()[0] == REDS.REDS_OK


class TestSelect:
    def test_out_of_range(self) -> None:
        _, context = Opening.of().open()
        assert REDS.reds_subnetwork_count(context) == 3
        assert REDS.reds_select(context, 3) == REDS.REDS_ERROR_ARGUMENT
        assert REDS.reds_select(context, 1) == REDS.REDS_OK
        assert REDS.reds_selected(context) == 1

    def test_budgets(self) -> None:
        runtime = Runtime(MODEL)
        full, small, middle = runtime.subnetworks
        assert runtime.selected == 0

        def chosen(**budget: int) -> int:
            status = REDS.reds_set_budget(runtime._context, LIBRARY.ffi.new("reds_budget *", budget))
            return runtime.selected if status == REDS.REDS_OK else status

        assert chosen(macs=full.macs) == 0
        assert chosen(macs=full.macs - 1) == 2
        assert chosen(macs=middle.macs - 1) == 1
        assert chosen(macs=small.macs - 1) == REDS.REDS_ERROR_BUDGET
        assert runtime.selected == 1
        assert chosen(arena_bytes=middle.arena_bytes) == 2
        assert chosen(instructions=INSTRUCTIONS[0]) == 0
        assert chosen(instructions=INSTRUCTIONS[0] - 1) == 1  # that of subnetwork 2 is not known
        assert chosen(instructions=INSTRUCTIONS[0], macs=middle.macs) == 1
        assert chosen() == 0

    def test_unknown_target_has_no_instructions(self) -> None:
        opening = Opening.of(target=b"cortex-m0")
        _, context = opening.open()
        budget = LIBRARY.ffi.new("reds_budget *", {"instructions": 10**6})
        assert REDS.reds_set_budget(context, budget) == REDS.REDS_ERROR_BUDGET

    def test_null(self) -> None:
        _, context = Opening.of().open()
        assert REDS.reds_set_budget(context, LIBRARY.ffi.NULL) == REDS.REDS_ERROR_ARGUMENT
        assert REDS.reds_describe(context, 0, LIBRARY.ffi.NULL) == REDS.REDS_ERROR_ARGUMENT


class TestStep:
    @pytest.mark.parametrize("subnetwork", range(3))
    def test_equals_invoke(self, subnetwork: int) -> None:
        runtime = Runtime(MODEL)
        runtime.select(subnetwork)
        expected = runtime.invoke(INPUTS[0])
        runtime.input[...] = INPUTS[0]
        steps = 1
        while runtime.step():
            steps += 1
        assert steps == len(NETWORK.layers)
        np.testing.assert_array_equal(runtime.output, expected)

    def test_selection_waits_for_the_next_inference(self) -> None:
        runtime = Runtime(MODEL)
        full = runtime.invoke(INPUTS[0])
        runtime.select(1)
        small = runtime.invoke(INPUTS[0])
        assert not np.array_equal(full, small)
        runtime.select(0)
        for expected in (full, small):
            runtime.input[...] = INPUTS[0]
            runtime.step()
            runtime.select(1)
            while runtime.step():
                pass
            np.testing.assert_array_equal(runtime.output, expected)

    def test_invoke_abandons_what_was_begun(self) -> None:
        runtime = Runtime(MODEL)
        expected = runtime.invoke(INPUTS[0])
        runtime.step()
        np.testing.assert_array_equal(runtime.invoke(INPUTS[0]), expected)
        np.testing.assert_array_equal(runtime.invoke(INPUTS[0]), expected)

    def test_observer(self) -> None:
        events: list[tuple[int, ...]] = []

        @LIBRARY.ffi.callback("void(void *, uint32_t, uint32_t, uint32_t, int)")
        def observe(user: Any, *event: int) -> None:
            events.append(event)

        opening = Opening.of(observer=observe)
        _, context = opening.open()
        REDS.reds_invoke(context)
        operation = schema.Operation
        order = [
            operation.Conv2D,
            operation.DepthwiseConv2D,
            operation.Relu,
            operation.MaxPool2D,
            operation.AveragePool2D,
            operation.FullyConnected,
            operation.Softmax,
        ]
        assert events == [(step, step, kind, done) for step, kind in enumerate(order) for done in (0, 1)]


class TestMemory:
    @pytest.mark.parametrize("element_type", EMITTED_TYPES)
    @pytest.mark.parametrize("subnetwork", range(3))
    def test_peak_is_used_to_the_byte(self, element_type: ElementType, subnetwork: int) -> None:
        network, inputs = make_network(element_type)
        runtime = Runtime(encode(network))
        peak = runtime.subnetworks[subnetwork].arena_bytes
        runtime.select(subnetwork)
        written = np.zeros(len(runtime.arena), bool)
        for fill in (0x00, 0xFF):
            for sample in inputs:
                runtime.arena[:] = fill
                runtime.invoke(sample)
                written |= runtime.arena != fill
        assert written[peak - 1]
        assert not written[peak:].any()
        assert runtime.guards_intact

    def test_contexts_are_independent(self) -> None:
        first, second = Runtime(MODEL), Runtime(MODEL)
        second.select(1)
        expected = [first.invoke(INPUTS[0]), second.invoke(INPUTS[1])]
        first.input[...], second.input[...] = INPUTS[0], INPUTS[1]
        while first.step():
            second.step()
        second.step()
        np.testing.assert_array_equal(first.output, expected[0])
        np.testing.assert_array_equal(second.output, expected[1])

    def test_inference_does_not_change_the_model(self) -> None:
        runtime = Runtime(MODEL)
        runtime.invoke(INPUTS)
        assert runtime._model.tobytes() == MODEL


def test_every_status_has_a_sentence() -> None:
    statuses = range(REDS.REDS_ERROR_UNLINKED, REDS.REDS_DONE + 1)
    texts = {LIBRARY.ffi.string(REDS.reds_status_text(status)) for status in statuses}
    assert len(texts) == len(statuses)
    assert LIBRARY.ffi.string(REDS.reds_status_text(-99)) == b"not a status"
