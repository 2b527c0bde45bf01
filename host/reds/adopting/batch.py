"""Which operators of a foreign model keep the samples of a batch apart, so that libreds can run one after the other."""

from collections.abc import Callable, Mapping
from typing import NoReturn

from ai_edge_litert import schema_py_generated as tflite

from reds.adopting.tflite_graph import OMITTED, OperatorSite, TfliteTensor
from reds.model_file import ACTIVATION_TYPES

PAIRS = (
    tflite.BuiltinOperator.ADD,
    tflite.BuiltinOperator.SUB,
    tflite.BuiltinOperator.MUL,
    tflite.BuiltinOperator.BATCH_MATMUL,
)
"""The operators that align two computed inputs by their last dimensions."""

MATRIX_DIMENSIONS = 2


def require_independent_samples(site: OperatorSite) -> None:
    """Refuses an operator that makes a sample of its output of several samples of its inputs.

    Args:
        site: an operator that computes activations.

    Raises:
        UsageError: if the model has a batch above 1 and the operator is such a one; it says why.
    """
    if site.graph.batch == 1:
        return
    axes = _AXES.get(site.code)
    if axes is not None and 0 in axes(site):
        _refuse(site, "it works along the batch")
    inputs = _computed_inputs(site)
    for tensor in (*inputs, site.output):
        if not tensor.keeps_samples_apart:
            _refuse(
                site, f"'{tensor.name}' has the shape {tensor.whole_shape}, which is not {site.graph.batch} samples"
            )
    if site.code in PAIRS and len({(len(tensor.shape), tensor.shape[0]) for tensor in inputs}) > 1:
        shapes = " and ".join(str(tensor.whole_shape) for tensor in inputs)
        _refuse(site, f"it takes the shapes {shapes}, whose batches do not meet")
    if site.code == tflite.BuiltinOperator.BATCH_MATMUL:
        for tensor in inputs:
            if len(tensor.shape) <= MATRIX_DIMENSIONS:
                _refuse(site, f"'{tensor.name}' is one matrix of all samples")


def _refuse(site: OperatorSite, reason: str) -> NoReturn:
    site.refuse(
        f"{reason}; libreds runs the {site.graph.batch} samples one by one. Convert the model with a batch of 1"
    )


def _computed_inputs(site: OperatorSite) -> list[TfliteTensor]:
    tensors = (site.graph.tensor(index) for index in site.inputs if index != OMITTED)
    return [tensor for tensor in tensors if tensor.index in site.graph.computed and tensor.type in ACTIVATION_TYPES]


def _rank(tensor: TfliteTensor) -> int:
    return max(len(tensor.whole_shape), 1)


def _joined(options: type) -> Callable[[OperatorSite], set[int]]:
    return lambda site: {site.options(options).axis % _rank(site.output)}


def _unpacked(site: OperatorSite) -> set[int]:
    return {site.options(tflite.UnpackOptionsT).axis % _rank(site.input(0))}


def _listed(source: int, axes: int) -> Callable[[OperatorSite], set[int]]:
    """The axes that an input of an operator names, of another input. What is not constant is refused later."""

    def read(site: OperatorSite) -> set[int]:
        values = site.input(axes).constant
        return set() if values is None else {int(axis) % _rank(site.input(source)) for axis in values.reshape(-1)}

    return read


def _transposed(site: OperatorSite) -> set[int]:
    return {place for place, axis in enumerate(site.permutation) if place != axis}


def _sliced(site: OperatorSite) -> set[int]:
    """The first axis, where it is not kept whole."""
    options = site.options(tflite.StridedSliceOptionsT)
    begins, ends = (site.input(position).constant for position in (1, 2))
    if begins is None or ends is None or not begins.size or not ends.size:
        return set()
    size = site.input(0).whole_shape[0]
    begin = None if options.beginMask & 1 else int(begins.reshape(-1)[0])
    end = None if options.endMask & 1 else int(ends.reshape(-1)[0])
    return set() if len(range(size)[begin:end]) == size else {0}


_AXES: Mapping[int, Callable[[OperatorSite], set[int]]] = {
    tflite.BuiltinOperator.CONCATENATION: _joined(tflite.ConcatenationOptionsT),
    tflite.BuiltinOperator.PACK: _joined(tflite.PackOptionsT),
    tflite.BuiltinOperator.UNPACK: _unpacked,
    tflite.BuiltinOperator.SPLIT: _listed(1, 0),
    tflite.BuiltinOperator.SPLIT_V: _listed(0, 2),
    tflite.BuiltinOperator.MEAN: _listed(0, 1),
    tflite.BuiltinOperator.REDUCE_MAX: _listed(0, 1),
    tflite.BuiltinOperator.TRANSPOSE: _transposed,
    tflite.BuiltinOperator.STRIDED_SLICE: _sliced,
}
"""By operator the axes along which it joins, divides, reduces, cuts or moves."""
