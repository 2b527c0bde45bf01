"""Saves and loads the values that stages pass on: one .npz file with the arrays and the structure around them."""

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from reds import graph
from reds.errors import UsageError
from reds.files import write_atomically

_STRUCTURE = "structure"
_TYPE, _ARRAY, _MAP = "type", "array", "map"

_CLASSES = {
    cls.__name__: cls
    for cls in (
        graph.Activation,
        graph.Add,
        graph.BatchNormalization,
        graph.ChannelGroup,
        graph.Concatenate,
        graph.Conv2D,
        graph.Conv2DTranspose,
        graph.Crop,
        graph.Dense,
        graph.DepthwiseConv2D,
        graph.Exit,
        graph.Family,
        graph.Graph,
        graph.JointSolution,
        graph.KernelImportance,
        graph.MapDense,
        graph.Mean,
        graph.Multiply,
        graph.Node,
        graph.PRelu,
        graph.Pad,
        graph.Pool2D,
        graph.Ranked,
        graph.Requantize,
        graph.Slice,
        graph.Solution,
        graph.Subnetwork,
        graph.Subtract,
        graph.Supernet,
        graph.Upsample,
    )
}

Value = TypeVar("Value")


def save(path: Path | str, value: Any) -> None:
    """Writes a dataclass of `reds.graph`, whole or not at all.

    Args:
        path: the .npz file to write.
        value: a Graph, Ranked, Family or Supernet.
    """
    arrays: list[np.ndarray] = []
    structure = json.dumps(_encode(value, arrays))
    stream = io.BytesIO()
    members: dict[str, Any] = {f"{_ARRAY}{index}": array for index, array in enumerate(arrays)}
    members[_STRUCTURE] = np.frombuffer(structure.encode(), np.uint8)
    np.savez_compressed(stream, **members)
    write_atomically(path, stream.getvalue())


def load(path: Path | str, kind: type[Value]) -> Value:
    """Reads what `save` wrote.

    Args:
        path: the .npz file.
        kind: the class that the file must hold.

    Returns:
        The value.

    Raises:
        UsageError: if there is no such file or it holds something else.
    """
    try:
        value = _read(path)
    except OSError as error:
        raise UsageError(f"Cannot read '{path}': {error.strerror or 'it is damaged'}.") from error
    except (
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        EOFError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise UsageError(f"Cannot read '{path}': it is damaged or from another release; remove it.") from error
    if not isinstance(value, kind):
        raise UsageError(f"'{path}' must hold a {kind.__name__}; it holds a {type(value).__name__}.")
    return value


def _read(path: Path | str) -> Any:
    with np.load(path, allow_pickle=False) as file:
        structure = json.loads(file[_STRUCTURE].tobytes().decode())
        arrays = [file[f"{_ARRAY}{index}"] for index in range(len(file.files) - 1)]
    return _decode(structure, arrays)


def _encode(value: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {_ARRAY: len(arrays) - 1}
    if is_dataclass(value):
        members = {field.name: _encode(getattr(value, field.name), arrays) for field in fields(value)}
        return {_TYPE: type(value).__name__, **members}
    if isinstance(value, Mapping):
        return {_MAP: {key: _encode(member, arrays) for key, member in value.items()}}
    if isinstance(value, tuple | list):
        return [_encode(member, arrays) for member in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


def _decode(value: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(value, list):
        return tuple(_decode(member, arrays) for member in value)
    if not isinstance(value, dict):
        return value
    if _ARRAY in value:
        return arrays[value[_ARRAY]]
    if _MAP in value:
        return {key: _decode(member, arrays) for key, member in value[_MAP].items()}
    members = {key: _decode(member, arrays) for key, member in value.items() if key != _TYPE}
    return _CLASSES[value[_TYPE]](**members)
