"""Runs a TFLite model in the interpreters that the rest of the world uses, to compare with."""

import math

import numpy as np
from ai_edge_litert import schema_py_generated as tflite
from ai_edge_litert.interpreter import Interpreter as LiteRT
from ai_edge_litert.interpreter import OpResolverType
from numpy.typing import NDArray
from tflite_micro import runtime as tflm

BYTES_OF_ARENA_PER_ELEMENT = 8
"""An activation and a 32-bit scratch value."""

BYTES_OF_ARENA_PER_MODEL_BYTE = 10
"""For bookkeeping that grows with the model; what the interpreter takes by itself."""


def run_tflite_micro(model: bytes, inputs: NDArray) -> NDArray:
    """Outputs of subgraph 0 in the real TFLite Micro with its reference kernels.

    Args:
        model: a TFLite file's bytes.
        inputs: (inferences, *input shape) in the model's own type; if its batch is above 1 the input shape has it.

    Returns:
        (inferences, *output shape) in the model's own type, with the batch as `inputs` has it.
    """
    interpreter = tflm.Interpreter.from_bytes(model, arena_size=_arena_bytes(model))
    outputs = []
    shape = interpreter.get_input_details(0)["shape"]
    for one in inputs:
        interpreter.set_input(one.reshape(shape), 0)
        interpreter.invoke()
        outputs.append(_without_batch_of_one(np.array(interpreter.get_output(0))))
    return np.stack(outputs)


def _without_batch_of_one(output: NDArray) -> NDArray:
    return output if len(output) > 1 else output[0]


def _arena_bytes(model: bytes) -> int:
    """Room for all that TFLite Micro can need at once."""
    subgraph = tflite.ModelT.InitFromPackedBuf(model).subgraphs[0]
    shapes = (() if tensor.shape is None else tensor.shape for tensor in subgraph.tensors)
    elements = sum(math.prod(int(size) for size in shape) for shape in shapes)
    return BYTES_OF_ARENA_PER_ELEMENT * elements + BYTES_OF_ARENA_PER_MODEL_BYTE * len(model)


def run_litert(model: bytes, inputs: NDArray) -> NDArray:
    """Outputs of subgraph 0 in LiteRT (TensorFlow Lite) with its reference kernels.

    Tensors are preserved because that keeps LiteRT from handing the model to XNNPACK, which rounds differently.

    Args:
        model: a TFLite file's bytes.
        inputs: as in `run_tflite_micro`.

    Returns:
        As of `run_tflite_micro`.
    """
    interpreter = LiteRT(
        model_content=model,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]
    target = interpreter.get_output_details()[0]["index"]
    outputs = []
    for one in inputs:
        interpreter.set_tensor(source["index"], one.reshape(source["shape"]))
        interpreter.invoke()
        outputs.append(_without_batch_of_one(np.array(interpreter.get_tensor(target))))
    return np.stack(outputs)
