"""An inference that goes on in another subnetwork computes what that one makes of the narrowed, rescaled tensors."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from model_builder import LayerSpec, NetworkBuilder
from near_places import Place, placed
from numpy.typing import NDArray
from random_networks import random_residual_supernet, random_supernet
from test_libreds import with_plan

from reds.compiled import EMITTED_TYPES, CompiledNetwork, ElementType
from reds.emitting import encode
from reds.errors import UsageError
from reds.graph import INPUT, Add, Conv2D, Conv2DTranspose, Dense, DepthwiseConv2D, Dequantize, Mean, Supernet
from reds.lookup import requantization_table
from reds.model_file import read_model_file
from reds.quantizing import quantize
from reds.requantize import Quantization
from reds.runtime import Runtime, load_library
from reds.schema import reds_generated as schema
from reds.tensors import Placement, Tensors, placement_of

LIBRARY = load_library()
REDS = LIBRARY.functions

NOBODY = -1
"""Owner of bytes that belong to no tensor."""


class Model:
    """An inference as it must go: a change runs the other subnetwork up to there and writes all tensors anew.

    Tensor 0 is the network's input and tensor i + 1 what step i writes.
    """

    def __init__(self, network: CompiledNetwork, file: bytes, sample: NDArray, subnetwork: int) -> None:
        self._network = network
        self._plan = read_model_file(file).plan
        self._runtime = Runtime(file)
        self._owner = np.full(len(self._runtime.arena), NOBODY)
        self._subnetwork = subnetwork
        self._next = 0
        self._runtime.select(subnetwork)
        self._runtime.input[...] = sample
        self._own(0)

    @property
    def output(self) -> NDArray:
        return self._runtime.output

    def step(self) -> bool:
        more = self._runtime.step()
        self._next += 1
        self._own(self._next)
        return more

    def continue_in(self, subnetwork: int) -> bool:
        """Whether the inference can go on there; if so it does."""
        common = self._common_steps(subnetwork)
        if common in (0, len(self._network.subnetworks[subnetwork].steps)):
            return False
        reads = self._network.tensors_read(subnetwork)[common:]
        needed = sorted({tensor for step in reads for tensor in step if tensor <= common})
        if not all(self._is_there(tensor) and self._is_prefix(tensor, subnetwork) for tensor in needed):
            return False
        contents = [self._narrowed(tensor, subnetwork) for tensor in needed]
        while self._runtime.step():
            pass
        self._runtime.select(subnetwork)
        for _ in range(common):
            self._runtime.step()
        self._subnetwork, self._next = subnetwork, common
        self._owner[:] = NOBODY
        for tensor, content in zip(needed, contents, strict=True):
            self._runtime.arena[self._place(tensor)] = content.reshape(-1).view(np.uint8)
            self._own(tensor)
        return True

    def _common_steps(self, subnetwork: int) -> int:
        done = self._network.subnetworks[self._subnetwork].steps[: self._next]
        pairs = zip(done, self._network.subnetworks[subnetwork].steps, strict=False)
        differing = (index for index, (one, other) in enumerate(pairs) if one.layer != other.layer)
        return next(differing, min(self._next, len(self._network.subnetworks[subnetwork].steps)))

    def _is_there(self, tensor: int) -> bool:
        return bool((self._owner[self._place(tensor)] == tensor).all())

    def _is_prefix(self, tensor: int, subnetwork: int) -> bool:
        return self._channels(subnetwork, tensor) <= self._channels(self._subnetwork, tensor)

    def _narrowed(self, tensor: int, subnetwork: int) -> NDArray:
        elements = self._runtime.arena[self._place(tensor)].view(self._network.element_type.dtype)
        whole = elements.reshape(-1, self._channels(self._subnetwork, tensor))
        narrow = whole[:, : self._channels(subnetwork, tensor)].copy()
        source, target = self._quantization(self._subnetwork, tensor), self._quantization(subnetwork, tensor)
        if source is None or target is None or source == target:
            return narrow
        return requantization_table(source, target)[narrow.view(np.uint8)]

    def _channels(self, subnetwork: int, tensor: int) -> int:
        steps = self._network.subnetworks[subnetwork].steps
        return steps[0].input_channels if tensor == 0 else steps[tensor - 1].output_channels

    def _quantization(self, subnetwork: int, tensor: int) -> Quantization | None:
        steps = self._network.subnetworks[subnetwork].steps
        return steps[0].input_quantization if tensor == 0 else steps[tensor - 1].output_quantization

    def _place(self, tensor: int) -> slice:
        offset = self._plan.subnetworks[self._subnetwork].tensors[tensor].offset
        return slice(offset, offset + self._network.tensor_sizes(self._subnetwork)[tensor])

    def _own(self, tensor: int) -> None:
        self._owner[self._place(tensor)] = tensor


def compiled(
    seed: int, element_type: ElementType, draw: Callable[[int], Supernet] = random_supernet
) -> tuple[CompiledNetwork, bytes, NDArray]:
    """A random family with residual joins and exits, its file, and an input."""
    supernet = draw(seed)
    generator = np.random.default_rng(seed)
    samples = generator.standard_normal((8, *supernet.family.graph.input_shape)).astype(np.float32)
    network = quantize(supernet, element_type, samples if element_type is ElementType.INT8 else None)
    file = encode(network)
    return network, file, Runtime(file).quantize(samples[0])


def run(network: CompiledNetwork, file: bytes, sample: NDArray, first: int, changes: dict[int, Sequence[int]]) -> int:
    """Compares an inference with its model; `changes` says which subnetworks are asked for after each step.

    Returns:
        How many changes were made.
    """
    model, runtime = Model(network, file, sample, first), Runtime(file)
    runtime.select(first)
    runtime.input[...] = sample
    made = done = 0
    more = True
    while more:
        more = runtime.step()
        assert model.step() == more
        done += 1
        for wanted in changes.get(done, ()) if more else ():
            if model.continue_in(wanted):
                runtime.continue_in(wanted)
                made += 1
            else:
                with pytest.raises(UsageError, match="cannot go on"):
                    runtime.continue_in(wanted)
    assert runtime.guards_intact
    assert runtime.selected == first
    np.testing.assert_array_equal(runtime.output, model.output)
    return made


def scattered(generator: np.random.Generator) -> Place:
    """Every tensor at a place of its own, in another order in each subnetwork."""

    def place(family: Sequence[Tensors]) -> tuple[Placement, ...]:
        size = max(max(tensors.aligned) for tensors in family)
        last = size * max(len(tensors.sizes) for tensors in family)
        return tuple(
            placement_of(
                [0, *(size * generator.permutation(np.arange(1, len(tensors.sizes) - 1))), last], tensors.sizes
            )
            for tensors in family
        )

    return place


seeds = st.integers(0, 2**32 - 1)
examples = settings(derandomize=True, deadline=None, max_examples=30)


@pytest.mark.parametrize("element_type", EMITTED_TYPES)
@examples
@given(seeds)
def test_a_change_after_any_step(element_type: ElementType, seed: int) -> None:
    network, file, sample = compiled(seed, element_type)
    for first, wanted in ((0, 1), (0, 2), (1, 2), (0, len(network.subnetworks) - 1)):
        for step in range(1, len(network.subnetworks[first].steps)):
            made = run(network, file, sample, first, {step: (wanted,)})
            if wanted in (1, 2):
                assert made == 1


@pytest.mark.parametrize("element_type", EMITTED_TYPES)
@examples
@given(seeds, st.booleans(), st.sampled_from([random_supernet, random_residual_supernet]))
def test_any_sequence_of_changes(
    element_type: ElementType, seed: int, are_scattered: bool, draw: Callable[[int], Supernet]
) -> None:
    generator = np.random.default_rng(seed)
    with placed(scattered(generator)) if are_scattered else nullcontext():
        network, file, sample = compiled(seed, element_type, draw)
    count = len(network.subnetworks)
    for first in range(count):
        changes = {step: generator.integers(0, count, generator.integers(0, 4)).tolist() for step in range(1, 60)}
        run(network, file, sample, first, changes)


def with_threshold(network: CompiledNetwork, threshold: float) -> CompiledNetwork:
    """The network with one threshold for all its exits."""
    own, *others = network.exits
    return replace(network, exits=(own, *(replace(exit_, threshold=threshold) for exit_ in others)))


@pytest.mark.parametrize("element_type", EMITTED_TYPES)
@examples
@given(seeds)
def test_an_inference_that_took_an_exit_goes_on_behind_it(element_type: ElementType, seed: int) -> None:
    network, _, sample = compiled(seed, element_type)
    assume(len(network.exits) > 1)
    assume(network.subnetworks[0].steps[0].layer == network.subnetworks[-1].steps[0].layer)
    network = with_threshold(network, 1e9)  # which no output reaches
    file = encode(network)
    names = [subnetwork.name for subnetwork in network.subnetworks]
    assume("shallow" in names)
    shallow = names.index("shallow")
    for wanted in range(3):
        model, runtime = Model(network, file, sample, shallow), Runtime(file)
        runtime.select(shallow)
        early = runtime.invoke(sample)
        while model.step():
            pass
        np.testing.assert_array_equal(model.output, early)
        assert not runtime.is_confident
        assert model.continue_in(wanted)
        runtime.continue_in(wanted)
        while runtime.step():
            model.step()
        model.step()
        np.testing.assert_array_equal(runtime.output, model.output)
        assert runtime.is_confident
        assert runtime.guards_intact


CHAIN = [LayerSpec(Conv2D((1, 1)), 4), LayerSpec(Conv2D((1, 1)), 6), LayerSpec(Conv2D((1, 1)), 3)]


def chain(widths: Sequence[Sequence[int]]) -> bytes:
    return encode(NetworkBuilder(ElementType.INT8, (4, 4, 2), seed=1).build(CHAIN, widths))


class TestWithin:
    SPECS = (
        LayerSpec(Conv2D((3, 3), (2, 1), "same"), 6),
        LayerSpec(DepthwiseConv2D((2, 2), padding="same")),
        LayerSpec(Conv2D((1, 1), groups=2), 6),
        LayerSpec(Conv2DTranspose((2, 2), (2, 2)), 7),
        LayerSpec(Conv2D((1, 1)), 8),
        LayerSpec(Mean()),
        LayerSpec(Dense(), 3),
    )
    NETWORK = NetworkBuilder(ElementType.INT8, (6, 5, 2), seed=1).build(
        SPECS, [[6, 6, 6, 4, 2, 2, 3], [6, 6, 6, 5, 8, 8, 3], [6, 6, 6, 4, 1, 1, 3]]
    )

    def remaining(self, subnetwork: int, done: int) -> int:
        steps = self.NETWORK.subnetworks[subnetwork].steps[done:]
        return sum(self.NETWORK.layers[step.layer].macs(step.input_channels, step.output_channels) for step in steps)

    def begun(self, done: int) -> Runtime:
        runtime = Runtime(encode(self.NETWORK))
        runtime.input[...] = 7
        for _ in range(done):
            runtime.step()
        return runtime

    @pytest.mark.parametrize("done", range(1, 7))
    def test_the_first_of_the_ranking_that_fits_is_taken(self, done: int) -> None:
        ranking = sorted(range(4), key=lambda index: -self.NETWORK.macs(index))
        least = min(self.remaining(index, done) for index in ranking)
        limits = {self.remaining(index, done) + more for index in ranking for more in (-1, 0)}
        for limit in limits:
            runtime, expected = self.begun(done), self.begun(done)
            if limit < least:
                with pytest.raises(UsageError, match="no subnetwork fits"):
                    runtime.continue_within(limit)
            else:
                runtime.continue_within(limit)
                expected.continue_in(next(index for index in ranking if self.remaining(index, done) <= limit))
            while runtime.step():
                expected.step()
            expected.step()
            np.testing.assert_array_equal(runtime.output, expected.output)

    def test_bad_input(self) -> None:
        assert REDS.reds_continue_within(LIBRARY.ffi.NULL, 0) == REDS.REDS_ERROR_ARGUMENT
        assert REDS.reds_continue_within(self.begun(0)._context, 9) == REDS.REDS_ERROR_CONTINUE
        with pytest.raises(UsageError, match="`macs` must be"):
            self.begun(1).continue_within(-1)


class TestStatus:
    def test_arguments(self) -> None:
        runtime = Runtime(chain([[2, 3, 3]]))
        assert REDS.reds_continue_in(LIBRARY.ffi.NULL, 0) == REDS.REDS_ERROR_ARGUMENT
        assert REDS.reds_continue_in(runtime._context, 2) == REDS.REDS_ERROR_ARGUMENT
        with pytest.raises(UsageError, match="`subnetwork` must be"):
            runtime.continue_in(2)

    def test_no_inference_has_begun(self) -> None:
        runtime = Runtime(chain([[2, 3, 3]]))
        assert REDS.reds_continue_in(runtime._context, 1) == REDS.REDS_ERROR_CONTINUE
        runtime.invoke(np.zeros((4, 4, 2), np.int8))
        assert REDS.reds_continue_in(runtime._context, 1) == REDS.REDS_ERROR_CONTINUE

    def test_small_arena(self) -> None:
        file = chain([[2, 3, 3]])
        needs = [info.arena_bytes for info in Runtime(file).subnetworks]
        runtime = Runtime(file, needs[1])
        runtime.step()
        assert REDS.reds_continue_in(runtime._context, 0) == REDS.REDS_ERROR_ARENA

    def test_wider(self) -> None:
        runtime = Runtime(chain([[2, 6, 3], [4, 3, 3]]))
        runtime.select(1)
        runtime.step()
        assert REDS.reds_continue_in(runtime._context, 2) == REDS.REDS_ERROR_CONTINUE
        runtime.step()
        assert REDS.reds_continue_in(runtime._context, 2) == REDS.REDS_OK

    def test_more_tensors_than_can_be_moved(self) -> None:
        """Sixteen convolutions that are added up after all of them have run, or seventeen."""

        def accepted(convolutions: int) -> int:
            specs = [LayerSpec(Conv2D((1, 1)), 4, inputs=(INPUT,)) for _ in range(convolutions)]
            for index in range(1, convolutions):
                specs.append(LayerSpec(Add(), inputs=(index, convolutions + index - 2 if index > 1 else 0)))
            specs.append(LayerSpec(Conv2D((1, 1)), 3))
            widths = [[2] * (len(specs) - 1) + [3]]
            runtime = Runtime(encode(NetworkBuilder(ElementType.INT8, (2, 2, 2), seed=1).build(specs, widths)))
            for _ in range(convolutions):
                runtime.step()
            return REDS.reds_continue_in(runtime._context, 1)

        assert accepted(16) == REDS.REDS_OK
        assert accepted(17) == REDS.REDS_ERROR_CONTINUE


@pytest.mark.parametrize(("port", "element_bytes"), [("uint8", 1), ("float32", 4)])
def test_an_answer_of_another_type_overwrites_all_its_bytes(port: str, element_bytes: int) -> None:
    """After the last step, what the first one wrote is there behind the whole answer and not within it."""
    specs = [LayerSpec(Conv2D((1, 1)), 4), LayerSpec(Conv2D((1, 1)), 8), LayerSpec(Dequantize(port))]
    model = encode(NetworkBuilder(ElementType.INT8, (4, 4, 2), seed=1).build(specs, [[4, 8, 8]]))
    answer_bytes = 4 * 4 * 8 * element_bytes

    def continued(distance: int) -> int:
        """Where so many bytes lie between the begins of the answer and of what the first step writes."""

        def move(plan: schema.PlanT) -> None:
            plan.layers.append(copy(plan.layers[1]))
            running, wanted = plan.subnetworks
            wanted.steps[1].layer = len(plan.layers) - 1
            running.tensors[1].offset = running.tensors[3].offset + distance
            running.tensors[2].offset = running.tensors[1].offset + answer_bytes
            for costs in (*plan.subnetworks, *plan.ranking):
                costs.arenaBytes = running.tensors[2].offset + answer_bytes

        runtime = Runtime(with_plan(model, move))
        runtime.select(0)
        runtime.invoke(np.zeros(runtime.input.shape, np.int8))
        return REDS.reds_continue_in(runtime._context, 1)

    assert continued(answer_bytes) == REDS.REDS_OK
    assert continued(answer_bytes - 16) == REDS.REDS_ERROR_CONTINUE


def test_int16_is_not_rescaled() -> None:
    network = NetworkBuilder(ElementType.INT16, (8, 8, 2), seed=1).build(CHAIN[1:], [[4, 3]])
    runtime = Runtime(encode(network))
    runtime.step()
    before = runtime.arena.copy()
    assert REDS.reds_continue_in(runtime._context, 1) == REDS.REDS_ERROR_CONTINUE
    assert REDS.reds_continue_within(runtime._context, network.macs(0)) == REDS.REDS_ERROR_BUDGET
    np.testing.assert_array_equal(runtime.arena, before)


TWO_LAYERS = encode(NetworkBuilder(ElementType.INT8, (8, 8, 2), seed=1).build(CHAIN[1:], [[4, 3]]))


def rescaled(wide: Quantization, narrow: Quantization) -> NDArray[np.int8]:
    """What a change makes of the bytes 0 to 255."""

    def requantize(plan: schema.PlanT) -> None:
        for subnetwork, written in zip(plan.subnetworks, (wide, narrow), strict=True):
            tensor = subnetwork.tensors[1]
            tensor.scale, tensor.zeroPoint = float(written.scale), written.zero_point

    file = with_plan(TWO_LAYERS, requantize)
    runtime = Runtime(file)
    begin, moved_to = (subnetwork.tensors[1].offset for subnetwork in read_model_file(file).plan.subnetworks)
    channels, kept = 6, 4
    runtime.step()
    elements = runtime.arena[begin : begin + 64 * channels].reshape(64, channels)
    elements[:, :kept] = np.arange(256).reshape(64, kept)
    runtime.continue_in(1)
    return runtime.arena[moved_to : moved_to + 256].view(np.int8).copy()


zero_points = st.integers(-128, 127)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.floats(-20, 10), zero_points, st.floats(-21, 40), zero_points)
def test_every_element_is_rescaled_as_tflite_micro_does(
    exponent: float, zero_point: int, divisor_exponent: float, other_zero_point: int
) -> None:
    scale = np.float32(2.0**exponent)
    wide = Quantization(scale, zero_point)
    narrow = Quantization(np.float32(scale * 2.0**divisor_exponent), other_zero_point)
    np.testing.assert_array_equal(rescaled(wide, narrow), requantization_table(wide, narrow))


def test_ratios_beyond_32_bits_saturate_or_vanish() -> None:
    small, large = Quantization(np.float32(1e-9), 5), Quantization(np.float32(1e9), -3)
    differences = np.arange(256, dtype=np.uint8).view(np.int8).astype(int) - large.zero_point
    saturated = np.where(differences > 0, 127, np.where(differences < 0, -128, small.zero_point))
    np.testing.assert_array_equal(rescaled(large, small), saturated)
    np.testing.assert_array_equal(rescaled(small, large), np.full(256, large.zero_point))
