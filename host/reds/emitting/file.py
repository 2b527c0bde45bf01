"""One TFLite file from a trained family, and plain TFLite files from it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reds.compiled import CompiledNetwork
from reds.emitting.standard import ModelBuilder, add_exit_head, add_network, pack_again
from reds.errors import UsageError
from reds.files import write_atomically
from reds.graph import Supernet
from reds.model_file import decode, read_model_file, with_checksum
from reds.plan import Measurements, TargetCosts, apply_measurements, encode_plan, measurements_in, pack_plan, text
from reds.schema import conventions
from reds.truncating import fitted, kept_in_order, truncated, widest_user


def emit(
    supernet: Supernet,
    path: Path | str,
    type: str = "int8",
    calibration: NDArray[np.float32] | None = None,
) -> Path:
    """Writes a trained family as one .tflite file with its subnetworks.

    Args:
        supernet: what `finetune` returned.
        path: the file to write; it is whole or absent.
        type: "int8" or "float32".
        calibration: (samples, *input shape) float32 inputs to measure activation ranges on; needed for int8. Should be
            balanced over the classes, as those of `calibration_samples` are.

    Returns:
        The path written.

    Raises:
        UsageError: if `type` is unknown, calibration is missing or the network is too large for the format.
    """
    from reds.quantizing import quantize  # loads Keras, which reading and extracting do not need

    write_atomically(path, encode(quantize(supernet, type, calibration)))
    return Path(path)


def encode(network: CompiledNetwork, measurements: Measurements | None = None) -> bytes:
    """The file's bytes: subgraph 0 is subnetwork 0, each exit head is a further subgraph, `REDS` holds the plans.

    Args:
        network: the compiled network; subnetwork 0, the full network, runs all layers that are no exit's.
        measurements: accuracies and instruction counts where they are known.

    Returns:
        A TFLite model that stock interpreters run as subnetwork 0.

    Raises:
        UsageError: if an exit is not used, or a size is larger than the format can hold.
    """
    network = fitted(network)
    model = ModelBuilder(network.name)
    buffers = add_network(model, network, network.subnetworks[0])
    for index in range(1, len(network.exits)):
        buffers |= add_exit_head(model, network, widest_user(network, index))
    for index, layer in enumerate(network.layers):
        if layer.weights is not None and index not in buffers:
            buffers[index] = model.add_buffer(layer.weights)
    model.add_metadata(conventions.METADATA_NAME, encode_plan(network, buffers, measurements or Measurements()))
    return with_checksum(model.encode())


def annotate(
    path: Path | str,
    accuracy: tuple[float | None, ...] | None = None,
    targets: tuple[TargetCosts, ...] = (),
) -> None:
    """Writes measured accuracies and instruction counts into a file and ranks its subnetworks by them.

    Args:
        path: a file that `emit` wrote; it is replaced.
        accuracy: per subnetwork the fraction of the test split answered right, None where unknown.
        targets: instruction counts to add or replace, by target name.

    Raises:
        UsageError: if the file is not one that `emit` wrote.
    """
    file = read_model_file(Path(path))
    apply_measurements(file.plan, Measurements(accuracy, targets))
    entry = next(m for m in file.model.metadata if text(m.name) == conventions.METADATA_NAME)
    file.model.buffers[entry.buffer].data = np.frombuffer(pack_plan(file.plan), np.uint8)
    write_atomically(path, with_checksum(pack_again(file.model, file.content)))


def truncate(source: Path | str | bytes, kept: Sequence[int]) -> bytes:
    """A file with only some of a file's subnetworks, and only the layers, channels and heads that they use.

    Subgraph 0 is the one of them that runs the most layers, the widest of several; it becomes subnetwork 0. Accuracies
    are those of the whole file; instruction counts become estimates, since weights lie elsewhere.

    Args:
        source: path or bytes of a file that `emit` wrote.
        kept: indices of subnetworks in the file.

    Returns:
        The new file's bytes.

    Raises:
        UsageError: if the file is foreign or damaged, if there are no such subnetworks, or if none of them runs all
            layers of the network that the others run.
    """
    file = read_model_file(source)
    network = decode(file)
    order = kept_in_order(network, kept)
    known = measurements_in(file.plan)
    assert known.accuracy is not None
    accuracy = tuple(known.accuracy[index] for index in order)
    targets = tuple(
        TargetCosts(target.name, False, tuple(target.instructions[index] for index in order))
        for target in known.targets
    )
    return encode(truncated(network, kept), Measurements(accuracy, targets))


def extract(source: Path | str | bytes, subnetwork: int) -> bytes:
    """A subnetwork as a plain stand-alone TFLite model.

    Its weights are slices of the file's weights; its bias and scales give, in TFLite Micro, exactly the numbers that
    the plan gives the device.

    Args:
        source: path or bytes of a file that `emit` wrote.
        subnetwork: index in the file.

    Returns:
        The bytes of a TFLite model without the metadata entry.

    Raises:
        UsageError: if the file is foreign or damaged, or there is no such subnetwork.
    """
    network = decode(read_model_file(source))
    if not 0 <= subnetwork < len(network.subnetworks):
        raise UsageError(
            f"`subnetwork` must be from 0 to {len(network.subnetworks) - 1}. Received: subnetwork={subnetwork}"
        )
    chosen = network.subnetworks[subnetwork]
    model = ModelBuilder(f"{network.name} {chosen.name}")
    add_network(model, network, chosen)
    return model.encode()
