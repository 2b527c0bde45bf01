"""Compares libreds with TFLite Micro, byte for byte, on random cases of every int8 operation.

    python bench/experiments/bit_exact.py [--cases 10000] [--operations CONV_2D,ADD] [--record RECORD.json]

A case is an operation with random sizes, weights and quantisation between layers that give it prefixes of their
channels. All prefixes of its input's and of its output's channels occur. The bytes that the operation wrote are
compared with those of a plain model of that prefix in the real TFLite Micro. Operators that only
`reds adopt` reads, as others, are drawn in small models; what libreds makes of these, adopted, is compared with what
the models themselves give. A record that exists is continued; the number of a case and the operation's name decide
everything in it, so that any case can be made again.
"""

import argparse
import json
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
from ai_edge_litert import schema_py_generated as tflite
from foreign_models import FOREIGN, inputs_of
from layer_drawing import Draw, product_of_matrices
from model_builder import LayerSpec, NetworkBuilder, output_shape
from numpy.typing import NDArray
from tflite_micro import runtime as tflm

from reds import plan as planner
from reds.adopting.file import with_plan
from reds.arena import place
from reds.compiled import CompiledNetwork, CompiledStep, CompiledSubnetwork, ElementType
from reds.emitting import encode
from reds.emitting.standard import ModelBuilder, SubgraphBuilder
from reds.errors import UsageError
from reds.files import write_atomically
from reds.graph import (
    INPUT,
    Activation,
    Add,
    Concatenate,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dequantize,
    DeviceOperation,
    Mean,
    Multiply,
    Pair,
    PortType,
    PRelu,
    Quantize,
    Requantize,
    Resize,
    Shape,
    Slice,
    Subtract,
    Upsample,
)
from reds.requantize import Quantization
from reds.runtime import Runtime
from reds.schema import reds_generated as schema

HERE = Path(__file__).parent

SEED = "CRC-32 of 'OPERATION CASE'"
SAMPLES = 2
LARGEST_CHANNELS = 8
CASES_AT_A_TIME = 50
"""Of one operation before the next one's turn."""

ARENA_BYTES = 1 << 20
REPORTED_FAILURES = 10


@dataclass(frozen=True)
class Case:
    """A small network with the operation to compare."""

    network: CompiledNetwork
    """Its subnetworks are the prefixes."""
    target: int
    """The layer to compare."""
    inputs: NDArray


@dataclass(frozen=True)
class Drawn:
    """The layers of a case."""

    input_shape: Shape
    specs: Sequence[LayerSpec]
    target: int
    widths: Sequence[Sequence[int]]
    """Per prefix the channels of each layer."""
    loudness: float = 1.0


def paths(draw: Draw, *sizes: int) -> Iterator[tuple[int, ...]]:
    """Prefixes of several channels such that each prefix of each of them occurs."""
    longest = max(sizes)
    columns = []
    for size in sizes:
        column = [1 + index % size for index in range(longest)]
        columns.append([column.pop(draw.size(len(column)) - 1) for _ in range(longest)])
    return zip(*columns, strict=True)


def hidden(draw: Draw, operation: DeviceOperation, multiplier: int = 1, output: int | None = None) -> Drawn:
    """An operation between two 1 x 1 convolutions, so that its input and output are prefixes."""
    before = draw.size(LARGEST_CHANNELS)
    after = output or draw.size(LARGEST_CHANNELS)
    spec = LayerSpec(operation, after, draw.activation(), multiplier)
    height, width = draw.pair(7, 7)
    while min(output_shape(spec, (height, width, before))) < 1:
        height, width = height + 1, width + 1
    specs = [LayerSpec(Conv2D((1, 1)), before), spec, LayerSpec(Conv2D((1, 1)), 3)]
    widths = [(*pair, 3) for pair in paths(draw, before, after)]
    return Drawn((height, width, draw.size(3)), specs, 1, widths, draw.choice(0.3, 1.0, 8.0))


def convolution(draw: Draw) -> Drawn:
    return hidden(draw, draw.convolution(Conv2D))


def grouped_convolution(draw: Draw) -> Drawn:
    operation = draw.grouped_convolution()
    before, after = (operation.groups * draw.size(4) for _ in range(2))
    drawn = hidden(draw, operation, output=after)
    specs = [LayerSpec(Conv2D((1, 1)), before), *drawn.specs[1:]]
    return replace(drawn, specs=specs, widths=[(before, after, 3)])


def depthwise_convolution(draw: Draw) -> Drawn:
    return hidden(draw, draw.convolution(DepthwiseConv2D), draw.choice(1, 1, 2, 3))


def transposed_convolution(draw: Draw) -> Drawn:
    return hidden(draw, draw.transposed())


def fully_connected(draw: Draw) -> Drawn:
    hidden_units, outputs = draw.size(24), draw.size(24)
    specs = [LayerSpec(Dense(), hidden_units), LayerSpec(Dense(), outputs, draw.activation()), LayerSpec(Dense(), 2)]
    widths = [(*pair, 2) for pair in paths(draw, hidden_units, outputs)]
    return Drawn((1, 1, draw.size(9)), specs, 1, widths, draw.choice(0.3, 1.0, 8.0))


def passing(make: Callable[[Draw], DeviceOperation], draw: Draw) -> Drawn:
    """An operation that has its input's channels."""
    return hidden(draw, make(draw), output=1)


def function(name: str, draw: Draw) -> Drawn:
    slope = float(np.float32(draw.choice(draw.size(100) / 100, -draw.size(100) / 100))) if name == "leaky_relu" else 0.0
    return hidden(draw, Activation(name, slope), output=1)


def softmax(draw: Draw) -> Drawn:
    classes = draw.size(24)
    drawn = hidden(draw, Activation("softmax"), output=1)
    specs = [LayerSpec(Conv2D((1, 1)), classes), *drawn.specs[1:]]
    return replace(drawn, specs=specs, widths=[(width, 0, 3) for width in range(1, classes + 1)])


def slice_or_crop(draw: Draw) -> Drawn:
    """Positions of all channels that there are, or channels of all positions."""
    if draw.choice(True, False):
        return hidden(draw, draw.crop(), output=1)
    first, kept, rest = draw.size(6) - 1, draw.size(6), draw.size(4) - 1
    channels = first + kept + rest
    specs = [LayerSpec(Conv2D((1, 1)), channels), LayerSpec(Slice(first), kept), LayerSpec(Conv2D((1, 1)), 3)]
    return Drawn((*draw.pair(5, 5), draw.size(3)), specs, 1, [(channels, kept, 3)])


def pair(kind: type[Pair], draw: Draw) -> Drawn:
    """Two maps of one shape, of one another, or one position that meets all of a map."""
    channels = draw.size(LARGEST_CHANNELS)
    loudness, activation = draw.choice(1e-2, 0.3, 1.0, 1.0, 3.0, 30.0), draw.activation()
    if kind is Multiply and activation == "relu6":
        loudness = 1e-2  # Six is too many units of a loud product's scale for TFLite Micro.
    height, width = draw.size(5), draw.size(5) + 1
    specs = [LayerSpec(Conv2D((1, 1)), channels), LayerSpec(Conv2D((1, 1)), channels, inputs=(INPUT,))]
    inputs, spread = draw.choice((0, 1), (1, 0), (0, 0)), False
    if draw.choice(True, False, False):
        specs[1] = LayerSpec(Conv2D((height, width)), channels, inputs=(INPUT,))
        inputs, spread = (0, 1), True
    specs += [LayerSpec(kind(spread), activation=activation, inputs=inputs), LayerSpec(Conv2D((1, 1)), 3)]
    widths = [(width, width, 0, 3) for width in range(1, channels + 1)]
    return Drawn((height, width, draw.size(3)), specs, 2, widths, loudness)


def pair_with_constant(kind: type[Pair], draw: Draw) -> Drawn:
    """A map and one value, one for each of its channels, or one for each element, which then are all there."""
    channels = draw.size(LARGEST_CHANNELS)
    loudness, activation = draw.choice(1e-2, 0.3, 1.0, 1.0, 3.0, 30.0), draw.activation()
    if kind is Multiply and activation == "relu6":
        loudness = 1e-2  # As of two maps.
    spread, scalar = draw.choice((True, True), (True, False), (False, False))
    operation = Subtract(spread, exchanged=draw.choice(False, True)) if kind is Subtract else kind(spread)
    specs = [
        LayerSpec(Conv2D((1, 1)), channels),
        LayerSpec(operation, activation=activation, inputs=(0,), scalar=scalar),
        LayerSpec(Conv2D((1, 1)), 3),
    ]
    widths = [(width, 0, 3) for width in (range(1, channels + 1) if spread else [channels])]
    return Drawn((*draw.pair(5, 5), draw.size(3)), specs, 1, widths, loudness)


def resize(draw: Draw) -> Drawn:
    size = draw.choice(draw.pair(9, 9), draw.pair(9, 9), draw.pair(60, 3), draw.pair(3, 60))
    return hidden(draw, Resize(size, *draw.choice((False, False), (True, False), (False, True))), output=1)


def transpose(draw: Draw) -> Drawn:
    """Of all channels, which become rows or columns."""
    channels = draw.size(9)
    specs = [LayerSpec(Conv2D((1, 1)), channels), LayerSpec(draw.transpose()), LayerSpec(Conv2D((1, 1)), 3)]
    return Drawn((*draw.pair(7, 7), draw.size(3)), specs, 1, [(channels, 0, 3)])


def batch_matmul(draw: Draw) -> Drawn:
    """Of all channels, which are elements of the matrices."""
    specs = product_of_matrices(draw)
    widths = [tuple(spec.channels for spec in specs)]
    return Drawn((1, 1, draw.size(5)), specs, 2, widths, draw.choice(0.3, 1.0, 30.0))


def converted_input(source: PortType, draw: Draw) -> Drawn:
    """The input from another type; it always has all its channels."""
    channels = draw.size(LARGEST_CHANNELS)
    specs = [LayerSpec(Quantize(source)), LayerSpec(Conv2D((1, 1)), channels), LayerSpec(Conv2D((1, 1)), 3)]
    return Drawn((*draw.pair(7, 7), draw.size(5)), specs, 0, [(0, draw.size(channels), 3)])


def converted_output(target: PortType, draw: Draw) -> Drawn:
    """The output to another type; it always has all its channels."""
    channels, outputs = draw.size(LARGEST_CHANNELS), draw.size(5)
    specs = [LayerSpec(Conv2D((1, 1)), channels), LayerSpec(Conv2D((1, 1)), outputs), LayerSpec(Dequantize(target))]
    widths = [(draw.size(channels), outputs, 0)]
    return Drawn((*draw.pair(7, 7), draw.size(3)), specs, 2, widths, draw.choice(0.3, 1.0, 8.0))


def port(draw: Draw) -> Drawn:
    """What QUANTIZE does at the network's ports."""
    if draw.choice(True, True, False):
        return converted_input(draw.choice("float32", "uint8"), draw)
    return converted_output("uint8", draw)


def concatenation(draw: Draw) -> Drawn:
    sizes = [draw.size(6) for _ in range(1 + draw.size(4))]
    joined = [LayerSpec(Conv2D((1, 1)), size, inputs=(INPUT,)) for size in sizes]
    order = tuple(reversed(range(len(joined)))) if draw.choice(True, False) else tuple(range(len(joined)))
    specs = [*joined, LayerSpec(Concatenate(), inputs=order), LayerSpec(Conv2D((1, 1)), 3)]
    widths = [(*path, 0, 3) for path in paths(draw, *sizes)]
    return Drawn((*draw.pair(5, 5), draw.size(3)), specs, len(joined), widths)


OPERATIONS: Mapping[str, Callable[[Draw], Drawn]] = {
    "ADD": partial(pair, Add),
    "ADD (constant)": partial(pair_with_constant, Add),
    "AVERAGE_POOL_2D": partial(passing, lambda draw: draw.pool("average")),
    "BATCH_MATMUL": batch_matmul,
    "CONCATENATION": concatenation,
    "CONV_2D": convolution,
    "CONV_2D (groups)": grouped_convolution,
    "DEPTHWISE_CONV_2D": depthwise_convolution,
    "DEQUANTIZE": partial(converted_output, "float32"),
    "FULLY_CONNECTED": fully_connected,
    "HARD_SWISH": partial(function, "hard_swish"),
    "LEAKY_RELU": partial(function, "leaky_relu"),
    "LOGISTIC": partial(function, "sigmoid"),
    "MAX_POOL_2D": partial(passing, lambda draw: draw.pool("max")),
    "MEAN": partial(passing, lambda draw: Mean()),
    "MUL": partial(pair, Multiply),
    "MUL (constant)": partial(pair_with_constant, Multiply),
    "PAD": partial(passing, Draw.pad),
    "PRELU": partial(passing, lambda draw: PRelu()),
    "QUANTIZE": partial(passing, lambda draw: Requantize()),
    "QUANTIZE (input or output)": port,
    "RELU": partial(function, "relu"),
    "RELU6": partial(function, "relu6"),
    "RESIZE_NEAREST_NEIGHBOR": partial(passing, lambda draw: Upsample(draw.pair(3, 3))),
    "RESIZE_NEAREST_NEIGHBOR (any size)": resize,
    "SOFTMAX": softmax,
    "STRIDED_SLICE": slice_or_crop,
    "SUB": partial(pair, Subtract),
    "SUB (constant)": partial(pair_with_constant, Subtract),
    "TANH": partial(function, "tanh"),
    "TRANSPOSE": transpose,
    "TRANSPOSE_CONV": transposed_convolution,
}
"""How a case of each operation that the emitter writes is drawn. PADV2 is read as PAD."""

COMPARED = tuple(sorted((*OPERATIONS, *FOREIGN)))
"""All operations."""


def case_of(operation: str, number: int) -> Case:
    """A case of an operation that the emitter writes; its name and the case's number decide everything."""
    seed = _seed(operation, number)
    draw = Draw(seed)
    drawn = OPERATIONS[operation](draw)
    builder = NetworkBuilder(ElementType.INT8, drawn.input_shape, seed, drawn.loudness)
    network = builder.build(drawn.specs, drawn.widths)
    if draw.choice(True, False, False):
        network = _changed(network, drawn.target, _with_one_scale)
    if operation == "RELU" and draw.choice(True, False):
        output = Quantization(np.float32(draw.size(1000) / 2000), draw.size(256) - 129)
        network = _requantized(network, drawn.target, output)
    return Case(network, drawn.target, builder.input(SAMPLES))


def _seed(operation: str, number: int) -> int:
    return zlib.crc32(f"{operation} {number}".encode())


def _changed(network: CompiledNetwork, layer: int, change: Callable[[CompiledStep], CompiledStep]) -> CompiledNetwork:
    """A network with another step of a layer in all subnetworks."""
    subnetworks = (
        replace(one, steps=tuple(change(step) if step.layer == layer else step for step in one.steps))
        for one in network.subnetworks
    )
    return replace(network, subnetworks=tuple(subnetworks))


def _with_one_scale(step: CompiledStep) -> CompiledStep:
    """One scale for all channels of the weights."""
    return step if step.weight_scales is None else replace(step, weight_scales=step.weight_scales[:1])


def _requantized(network: CompiledNetwork, layer: int, output: Quantization) -> CompiledNetwork:
    """A network whose layer writes with another quantisation, which the next one reads."""
    network = _changed(network, layer, lambda step: replace(step, output_quantization=output))
    return _changed(network, layer + 1, lambda step: replace(step, input_quantizations=(output,)))


class RefusedError(Exception):
    """The emitter refuses a case. What libreds refuses to open, or `reds adopt` to read, is an error of theirs."""


def libreds_outputs(case: Case) -> list[list[NDArray]]:
    """Per subnetwork and sample the bytes that libreds wrote for the layer."""
    try:
        content = encode(case.network)
    except UsageError as error:
        raise RefusedError from error
    plan = _plan_of(content)
    runtime = Runtime(content, trust_flash=True)
    outputs = []
    for index, subnetwork in enumerate(case.network.subnetworks):
        runtime.select(index)
        position = next(i for i, step in enumerate(subnetwork.steps) if step.layer == case.target)
        height, width, _ = case.network.layers[case.target].output_shape
        channels = subnetwork.steps[position].output_channels
        itemsize = case.network.output_dtype.itemsize if position == len(subnetwork.steps) - 1 else 1
        planned = plan.Subnetworks(index)
        start = planned.Tensors(planned.Steps(position).Output()).Offset()
        end = start + height * width * channels * itemsize
        outputs.append([_step_to(runtime, sample, position)[start:end] for sample in case.inputs])
    return outputs


def _plan_of(content: bytes) -> schema.Plan:
    """The plan in a file whose only metadata entry it is."""
    root = tflite.Model.GetRootAs(content, 0)
    return schema.Plan.GetRootAs(root.Buffers(root.Metadata(0).Buffer()).DataAsNumpy(), 0)


def _step_to(runtime: Runtime, sample: NDArray, position: int) -> NDArray:
    """The arena after a step; the inference is ended then."""
    runtime.input[...] = sample
    for _ in range(position):
        runtime.step()
    remain = runtime.step()
    arena = runtime.arena.view(np.int8).copy()
    while remain:
        remain = runtime.step()
    return arena


def tflite_micro_outputs(case: Case) -> list[list[NDArray]]:
    """Per subnetwork and sample what TFLite Micro's reference kernels make of the layer, all in one model."""
    return _tflite_micro_bytes(standard_model(case), case.inputs, len(case.network.subnetworks))


def _tflite_micro_bytes(content: bytes, inputs: NDArray, outputs: int) -> list[list[NDArray]]:
    """Per output of a model and sample its bytes in TFLite Micro."""
    interpreter = tflm.Interpreter.from_bytes(content, arena_size=ARENA_BYTES)
    written: list[list[NDArray]] = [[] for _ in range(outputs)]
    for sample in inputs:
        interpreter.set_input(sample[np.newaxis], 0)
        interpreter.invoke()
        for index, samples in enumerate(written):
            samples.append(np.array(interpreter.get_output(index)).reshape(-1).view(np.int8))
    return written


def standard_model(case: Case) -> bytes:
    """A plain model with one output per subnetwork: what its layer writes."""
    model = ModelBuilder("cases")
    subgraph = SubgraphBuilder(model, case.network, "main")
    first = case.network.subnetworks[0].steps[0]
    shape = (1, *case.network.input_shape)
    source = subgraph.add_activation("input", shape, case.network.input_dtype, first.input_quantization)
    targets = [_add_steps(subgraph, subnetwork, source, case.target) for subnetwork in case.network.subnetworks]
    subgraph.finish(source, targets[0])
    model.subgraphs[0].outputs = np.array(targets, np.int32)
    return model.encode()


def _add_steps(subgraph: SubgraphBuilder, subnetwork: CompiledSubnetwork, source: int, last: int) -> int:
    subgraph.outputs[INPUT] = source
    for step in subnetwork.steps:
        target = subgraph.add_step(step)
        if step.layer == last:
            return target
    raise ValueError(f"layer {last} does not run")


def adopted_outputs(operation: str, number: int) -> tuple[list[list[NDArray]], list[list[NDArray]]]:
    """Per sample the output of a model of an operation that is adopted, in libreds and in TFLite Micro."""
    seed = _seed(operation, number)
    model = FOREIGN[operation](Draw(seed))
    inputs = inputs_of(model, SAMPLES, seed)
    runtime = Runtime(with_plan(model.content), trust_flash=True)
    ours = [sample.reshape(-1) for sample in runtime.invoke(inputs)]
    return [ours], _tflite_micro_bytes(model.content, inputs, 1)


@dataclass
class Tally:
    """What is known of an operation."""

    cases: int = 0
    prefixes: int = 0
    refused: int = 0
    """Cases that the emitter refuses, for a shift that int8 arithmetic has no bits for; not among the others."""
    differences: int = 0
    """Prefixes whose bytes differ."""
    seconds: float = 0.0

    @property
    def next_case(self) -> int:
        """Number of the next case to draw."""
        return self.cases + self.refused


def compare(operation: str, number: int) -> tuple[int, list[int]]:
    """Number of prefixes of a case, and those whose bytes differ."""
    if operation in FOREIGN:
        ours, theirs = adopted_outputs(operation, number)
    else:
        case = case_of(operation, number)
        ours, theirs = libreds_outputs(case), tflite_micro_outputs(case)
    return len(ours), [index for index, (a, b) in enumerate(zip(ours, theirs, strict=True)) if not np.array_equal(a, b)]


def run(operation: str, tally: Tally, count: int, failures: list[dict]) -> None:
    """Adds cases to a tally."""
    start = time.perf_counter()
    for _ in range(count):
        number = tally.next_case
        try:
            prefixes, different = compare(operation, number)
        except RefusedError:
            tally.refused += 1
            continue
        tally.cases += 1
        tally.prefixes += prefixes
        tally.differences += len(different)
        if different and len(failures) < REPORTED_FAILURES:
            failures.append({"operation": operation, "case": number, "subnetworks": different})
    tally.seconds += time.perf_counter() - start


@contextmanager
def without_slow_steps() -> Iterator[None]:
    """Leaves out what takes long and changes no output: the search for the smallest arena, which starts a process, and
    TFLite Micro's count of resource variables, of which there are none."""
    with (
        patch.object(planner, "place", partial(place, exact=False)),
        patch.object(tflm, "count_resource_variables", lambda model: 0),
    ):
        yield


def main(arguments: Sequence[str] | None = None) -> None:
    """Continues the record until every operation has its cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000, help="of each operation; default 10000")
    parser.add_argument("--operations", default=",".join(COMPARED), metavar="NAME,...", help="default all")
    parser.add_argument("--record", type=Path, default=HERE / "bit_exact.json")
    chosen = parser.parse_args(arguments)
    known = json.loads(chosen.record.read_text(encoding="utf-8")) if chosen.record.exists() else {}
    failures = known.get("failures", [])
    tallies = {name: Tally(**known.get("operations", {}).get(name, {})) for name in COMPARED}
    wanted = [name for name in COMPARED if name in chosen.operations.split(",")]
    while left := [name for name in wanted if tallies[name].cases < chosen.cases]:
        for name in left:
            count = min(CASES_AT_A_TIME, chosen.cases - tallies[name].cases)
            with without_slow_steps():
                run(name, tallies[name], count, failures)
            record = {
                "samples": SAMPLES,
                "seed": SEED,
                "operations": {name: asdict(tally) for name, tally in tallies.items()},
                "failures": failures,
            }
            write_atomically(chosen.record, (json.dumps(record, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
