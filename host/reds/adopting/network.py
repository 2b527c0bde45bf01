"""Reads a foreign TFLite model as a compiled network of one subnetwork."""

import math
from dataclasses import dataclass
from typing import NoReturn

from ai_edge_litert import schema_py_generated as tflite

from reds.adopting.batch import require_independent_samples
from reds.adopting.operators import OPERATORS, ReadOperator
from reds.adopting.tflite_graph import BUILTIN_NAMES, TYPE_NAMES, OperatorSite, TfliteGraph, TfliteTensor
from reds.compiled import (
    CompiledExit,
    CompiledLayer,
    CompiledNetwork,
    CompiledStep,
    CompiledSubnetwork,
)
from reds.graph import FULL_NAME, INPUT, Quantize
from reds.model_file import ELEMENT_TYPE_OF_TENSOR, RESHAPING
from reds.plan import text

_FIXED_BATCH = "Convert the model with a batch of 1, so that the converter writes a dilated convolution"
_HINTS = {
    tflite.BuiltinOperator.SPACE_TO_BATCH_ND: _FIXED_BATCH,
    tflite.BuiltinOperator.BATCH_TO_SPACE_ND: _FIXED_BATCH,
    tflite.BuiltinOperator.TILE: "Enlarge maps with keras.layers.Resizing(..., interpolation='nearest'), which becomes "
    "a RESIZE_NEAREST_NEIGHBOR",
}
"""What to do about operators that the converter can do without."""


@dataclass(frozen=True)
class AdoptedNetwork:
    """A network, and where the file has its weights."""

    network: CompiledNetwork
    weight_buffers: dict[int, int]
    """TFLite buffer index of each weighted layer's weights."""
    operators: tuple[int, ...]
    """Per layer the index of its operator in the file."""


def read_network(model: tflite.ModelT, source: str) -> AdoptedNetwork:
    """Reads subgraph 0.

    Args:
        model: a TFLite model with one subgraph.
        source: name of its file, for messages.

    Returns:
        The network with its one subnetwork.

    Raises:
        UsageError: if the model is not made of supported operators, with the first that is not.
    """
    graph = TfliteGraph(model, source)
    reader = _Reader(graph)
    for site in graph.operators:
        reader.append(site)
    return reader.finish()


class _Reader:
    """Appends operators as layers, each as soon as what it reads is there."""

    def __init__(self, graph: TfliteGraph) -> None:
        self._graph = graph
        self._input = graph.port(graph.subgraph.inputs, "input")
        self._type = _computing_type(graph, self._input)
        self._sources = {self._input.index: INPUT}
        """Per tensor that is there the layer whose elements it holds, or INPUT."""
        self._layers: list[CompiledLayer] = []
        self._steps: list[CompiledStep] = []
        self._buffers: dict[int, int] = {}
        self._operators: list[int] = []

    def append(self, site: OperatorSite) -> None:
        """Adds what an operator does."""
        if not site.computes:
            return
        if site.is_reshaping:
            return self._reshape(site)
        supported = OPERATORS.get(site.code)
        if supported is None:
            _refuse_unsupported(site)
        if self._type == tflite.TensorType.INT16 and not supported.in_int16:
            site.refuse("libreds runs it in int8 and float32, but not in int16")
        self._check_type(site)
        require_independent_samples(site)
        self._append(site, supported.read(site))

    def _check_type(self, site: OperatorSite) -> None:
        if site.output.type != self._type and not site.converts:
            site.refuse(f"it writes {site.output.type_name}, but the model computes in {TYPE_NAMES[self._type]}")

    def _reshape(self, site: OperatorSite) -> None:
        source = site.input(0)
        site.require(source.type == site.output.type, "it changes the type")
        site.require(
            math.prod(source.whole_shape) == math.prod(site.output.whole_shape),
            "its shape is only known when it runs; convert the model with a fixed batch, such as a batch of 1",
        )
        site.require(source.quantization == site.output.quantization, "it changes the quantisation")
        self._sources[site.output.index] = self._source(site, source.index)

    def _source(self, site: OperatorSite, tensor: int) -> int:
        if tensor not in self._sources:
            site.refuse(f"it reads '{self._graph.tensor(tensor).name}', which is constant or not computed before it")
        return self._sources[tensor]

    def _check_sources(self, site: OperatorSite, read: ReadOperator) -> None:
        """What is read has the type of the network; only the network's input is converted to it."""
        for index in read.inputs:
            tensor = self._graph.tensor(index)
            source = self._source(site, index)
            if isinstance(read.operation, Quantize):
                site.require(source == INPUT, f"it reads '{tensor.name}', which is not the model's input")
            elif tensor.type != self._type:
                site.refuse(f"it reads {tensor.type_name}, but the model computes in {TYPE_NAMES[self._type]}")

    def _append(self, site: OperatorSite, read: ReadOperator) -> None:
        self._check_sources(site, read)
        index = len(self._layers)
        weights = read.weights
        self._layers.append(
            CompiledLayer(
                name=site.output.name,
                operation=read.operation,
                activation=read.activation,
                inputs=tuple(self._source(site, tensor) for tensor in read.inputs),
                input_shape=read.input_shape,
                output_shape=read.output_shape,
                subgraph=0,
                weights=None if weights is None else weights.values,
                operand=None if weights is None else weights.operand,
            )
        )
        quantizations = (self._graph.tensor(tensor).quantization for tensor in read.inputs)
        self._steps.append(
            CompiledStep(
                layer=index,
                input_channels=read.input_shape[2],
                output_channels=read.output_shape[2],
                input_quantizations=tuple(known for known in quantizations if known is not None),
                output_quantization=site.output.quantization,
                weight_scales=None if weights is None else weights.scales,
                bias=None if weights is None else weights.bias,
            )
        )
        self._operators.append(site.index)
        if weights is not None:
            self._buffers[index] = weights.buffer
        self._sources[site.output.index] = index

    def finish(self) -> AdoptedNetwork:
        """The network."""
        output = self._graph.port(self._graph.subgraph.outputs, "output")
        last = len(self._layers) - 1
        if not self._layers or self._sources.get(output.index) != last:
            self._graph.refuse(f"its output '{output.name}' is not what the last of its operators computes")
        network = CompiledNetwork(
            name=text(self._graph.model.description or ""),
            element_type=ELEMENT_TYPE_OF_TENSOR[self._type],
            input_shape=self._input.shape[1:],
            output_shape=output.shape[1:],
            layers=tuple(self._layers),
            exits=(CompiledExit("output", last),),
            subnetworks=(CompiledSubnetwork(FULL_NAME, 0, (), tuple(self._steps)),),
            batch=self._graph.batch,
        )
        return AdoptedNetwork(network, self._buffers, tuple(self._operators))


def _computing_type(graph: TfliteGraph, source: TfliteTensor) -> int:
    """TFLite type of the activations between the input and the output: that of the input if it is not converted."""
    first = next((site for site in graph.operators if site.computes and not site.is_reshaping), None)
    type = source.type
    if first is not None and first.code == tflite.BuiltinOperator.QUANTIZE:
        type = first.output.type
    if type not in ELEMENT_TYPE_OF_TENSOR:
        graph.refuse(f"it computes in {TYPE_NAMES[type]}; convert the model for int8, int16 or float32")
    return type


def _refuse_unsupported(site: OperatorSite) -> NoReturn:
    supported = ", ".join(sorted(BUILTIN_NAMES[code] for code in (*OPERATORS, *RESHAPING)))
    hint = f"{_HINTS[site.code]}; supported" if site.code in _HINTS else "Supported"
    site.refuse(f"libreds has no such operation. {hint} are {supported}")
