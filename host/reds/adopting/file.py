"""Writes the metadata entry `REDS` into a TFLite model that another tool made."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as tflite
from numpy.typing import NDArray

from reds.adopting.network import AdoptedNetwork, read_network
from reds.adopting.pruning import AdoptPruning, prune_adopted
from reds.compiled import ElementType
from reds.emitting.standard import AlignedBuffer, pack_again
from reds.errors import VerificationError
from reds.files import write_atomically
from reds.model_file import ForeignModel, read_foreign_model, with_checksum
from reds.plan import Measurements, encode_plan
from reds.runtime import Runtime
from reds.schema import conventions
from reds.solving.emitted import verify_limits

Progress = Callable[[str], None]

PERMUTATION_TOLERANCE = 1e-4
"""Largest difference of float32 outputs that counts as rounding, relative to the largest output."""

_VERIFIED_SAMPLES = 4


def adopt(
    source: Path | str,
    path: Path | str,
    pruning: AdoptPruning | None = None,
    progress: Progress | None = None,
) -> Path:
    """Gives a TFLite model its metadata entry `REDS`, with one subnetwork, the model itself, or with narrower ones too.

    Without pruning its subgraph, its weights and its other metadata stay as they are. Pruning sorts the channels of
    its layers; the model computes what it did, in int8 byte for byte. Either way any interpreter runs it as before.

    Args:
        source: a .tflite file in int8, int16 or float32 of supported operators (docs/supported.md).
        path: the file to write; it is whole or absent.
        pruning: which subnetworks to search; none beside the model itself if not given.
        progress: called with a line per subnetwork.

    Returns:
        The path written.

    Raises:
        UsageError: if the file is damaged, has an entry already, or is not made of supported operators; the sentence
            names the operator. With pruning also if it has nothing to narrow, a budget cannot be met, or samples do
            not fit.
        VerificationError: if the model does not compute what it did after its channels were sorted.
    """
    write_atomically(path, with_plan(source, pruning, progress))
    return Path(path)


def with_plan(
    source: Path | str | bytes, pruning: AdoptPruning | None = None, progress: Progress | None = None
) -> bytes:
    """The bytes of a TFLite model with its metadata entry `REDS`.

    Args:
        source: path or bytes of a .tflite file, as in `adopt`.
        pruning: as in `adopt`.
        progress: as in `adopt`.

    Raises:
        UsageError: as in `adopt`.
        VerificationError: as in `adopt`.
    """
    foreign = read_foreign_model(source)
    if pruning is None:
        return _packed(foreign, read_network(foreign.model, foreign.source))
    original = with_plan(source)
    pruned = prune_adopted(foreign.model, foreign.source, original, pruning, progress)
    content = _packed(foreign, pruned.adopted)
    verify_limits(content, pruned.family)
    _verify_same_function(original, content, pruned.adopted.network.element_type)
    return content


def _packed(foreign: ForeignModel, adopted: AdoptedNetwork) -> bytes:
    _add_metadata(foreign.model, encode_plan(adopted.network, adopted.weight_buffers, Measurements()))
    return with_checksum(pack_again(foreign.model, foreign.content))


def _add_metadata(model: tflite.ModelT, plan: bytes) -> None:
    buffer = AlignedBuffer()
    buffer.data = np.frombuffer(plan, np.uint8)
    entry = tflite.MetadataT()
    entry.name, entry.buffer = conventions.METADATA_NAME, len(model.buffers)
    model.buffers = [*model.buffers, buffer]
    model.metadata = [*(model.metadata or ()), entry]


def _verify_same_function(original: bytes, permuted: bytes, element_type: ElementType) -> None:
    """Checks on random inputs that the model computes what it did: int8 byte for byte, float32 to rounding."""
    before, after = (_outputs(content, element_type) for content in (original, permuted))
    tolerance = 0.0 if element_type is ElementType.INT8 else PERMUTATION_TOLERANCE * float(np.abs(before).max())
    difference = float(np.abs(after - before).max())
    if not difference <= tolerance:
        raise VerificationError(f"Sorting the channels changed the model's outputs by up to {difference:.3g}.")


def _outputs(content: bytes, element_type: ElementType) -> NDArray[np.float64]:
    """Of the full network for the same random inputs every time."""
    runtime = Runtime(content)
    generator = np.random.default_rng(0)
    shape = (_VERIFIED_SAMPLES, *runtime.input.shape)
    values = generator.standard_normal(shape, np.float32)
    inputs = values if element_type is ElementType.FLOAT32 else generator.integers(-128, 128, shape, np.int8)
    runtime.select(0)
    return runtime.invoke(inputs).astype(np.float64)
