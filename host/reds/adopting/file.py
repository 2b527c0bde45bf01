"""Writes the metadata entry `REDS` into a TFLite model that another tool made."""

from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as tflite

from reds.adopting.network import read_network
from reds.emitting.standard import AlignedBuffer, pack_again
from reds.files import write_atomically
from reds.model_file import read_foreign_model, with_checksum
from reds.plan import Measurements, encode_plan
from reds.schema import conventions


def adopt(source: Path | str, path: Path | str) -> Path:
    """Gives a TFLite model its metadata entry `REDS` with one subnetwork, the model itself.

    Its subgraph, its weights and its other metadata stay as they are, so any interpreter runs it as before.

    Args:
        source: a .tflite file in int8, int16 or float32 of supported operators (docs/supported.md).
        path: the file to write; it is whole or absent.

    Returns:
        The path written.

    Raises:
        UsageError: if the file is damaged, has an entry already, or is not made of supported operators; the sentence
            names the operator.
    """
    write_atomically(path, with_plan(source))
    return Path(path)


def with_plan(source: Path | str | bytes) -> bytes:
    """The bytes of a TFLite model with its metadata entry `REDS`.

    Args:
        source: path or bytes of a .tflite file, as in `adopt`.

    Raises:
        UsageError: as in `adopt`.
    """
    foreign = read_foreign_model(source)
    adopted = read_network(foreign.model, foreign.source)
    _add_metadata(foreign.model, encode_plan(adopted.network, adopted.weight_buffers, Measurements()))
    return with_checksum(pack_again(foreign.model, foreign.content))


def _add_metadata(model: tflite.ModelT, plan: bytes) -> None:
    buffer = AlignedBuffer()
    buffer.data = np.frombuffer(plan, np.uint8)
    entry = tflite.MetadataT()
    entry.name, entry.buffer = conventions.METADATA_NAME, len(model.buffers)
    model.buffers = [*model.buffers, buffer]
    model.metadata = [*(model.metadata or ()), entry]
