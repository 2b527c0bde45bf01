"""Lists every cut of the networks of depth pruning beside what is published of it.

    python bench/experiments/cuts.py [--out FILE]

De Leon and Atienza, "Depth pruning with auxiliary networks for tinyML", 2022: MobileNetV1 0.25 and DS-CNN S, cut behind
the first convolution and behind every block. Parameters and multiply-accumulates are those of the networks that it
trains, bytes those of the int8 files that it runs on the device: MobileNetV1 for grey images, DS-CNN for log mel
energies. Nothing is trained; neither number depends on what a weight is.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from untrained import untrained_network

from reds.cost import full_widths, macs
from reds.emitting import emit, extract, truncate
from reds.files import write_atomically
from reds.graph import Exit, Graph
from reds.heads import HeadKind

CALIBRATION_SAMPLES = 16


@dataclass(frozen=True)
class Published:
    """What is published of a network with one of its heads."""

    parameters: int
    """As Keras counts them, statistics of batch normalisations among them."""
    macs: int
    kilobytes: float
    """Of the int8 file on the device, read off a figure to about 1 kB; thousands of bytes."""


@dataclass(frozen=True)
class Cut:
    """A layer behind which a network is cut."""

    tap: str
    auxiliary: Published
    dense: Published


@dataclass(frozen=True)
class Network:
    """A network of the publication, as it is trained and as it runs on the device."""

    name: str
    trained: str
    """Architecture of the zoo; as `on_device`."""
    on_device: str
    whole: Published
    cuts: tuple[Cut, ...]


NETWORKS = (
    Network(
        "MobileNetV1 0.25",
        "mobilenet_v1_025",
        "mobilenet_v1_025_gray",
        Published(221_794, 7_489_664, 336),
        (
            Cut("conv1", Published(1_858, 3_096_608, 11), Published(2_978, 500_288, 8)),
            Cut("block1_pointwise", Published(2_546, 4_313_120, 15), Published(3_810, 961_600, 11)),
            Cut("block2_pointwise", Published(4_178, 2_552_864, 21), Published(5_730, 1_340_480, 16)),
            Cut("block3_pointwise", Published(5_810, 3_308_576, 27), Published(7_362, 2_096_192, 22)),
            Cut("block4_pointwise", Published(10_098, 2_921_504, 37), Published(12_226, 2_434_624, 32)),
            Cut("block5_pointwise", Published(15_410, 3_594_272, 48), Published(17_538, 3_107_392, 43)),
            Cut("block6_pointwise", Published(28_082, 3_634_592, 71), Published(31_362, 3_427_136, 65)),
            Cut("block7_pointwise", Published(46_898, 4_265_888, 100), Published(50_178, 4_058_432, 93.5)),
            Cut("block8_pointwise", Published(65_714, 4_897_184, 129), Published(68_994, 4_689_728, 123)),
            Cut("block9_pointwise", Published(84_530, 5_528_480, 158), Published(87_810, 5_321_024, 151)),
            Cut("block10_pointwise", Published(103_346, 6_159_776, 186), Published(106_626, 5_952_320, 181)),
            Cut("block11_pointwise", Published(122_162, 6_791_072, 216), Published(125_442, 6_583_616, 209)),
            Cut("block12_pointwise", Published(163_890, 6_980_288, 276), Published(169_474, 6_897_088, 268)),
            Cut("block13_pointwise", Published(234_290, 7_590_848, 364), Published(239_874, 7_507_648, 357)),
        ),
    ),
    Network(
        "DS-CNN S",
        "ds_cnn_s",
        "ds_cnn_s_log_mel",
        Published(24_908, 2_656_768, 54),
        (
            Cut("conv1", Published(7_228, 748_192, 21.0), Published(9_516, 326_528, 16.2)),
            Cut("block1_pointwise", Published(12_540, 1_332_192, 32.4), Published(14_828, 910_528, 27.6)),
            Cut("block2_pointwise", Published(17_852, 1_916_192, 43.7), Published(20_140, 1_494_528, 38.9)),
            Cut("block3_pointwise", Published(23_164, 2_500_192, 55.2), Published(25_452, 2_078_528, 50.3)),
            Cut("block4_pointwise", Published(28_476, 3_084_192, 66.6), Published(30_764, 2_662_528, 61.6)),
        ),
    ),
)


@dataclass(frozen=True)
class Row:
    """A network whole, or cut, with what is published of it."""

    network: str
    cut: str
    head: str
    """Empty where the network is whole."""
    parameters: int
    macs: int
    file_bytes: int
    """Of the file with this subnetwork alone and its plan, as `reds emit --only` writes it."""
    extracted_bytes: int
    """Of the plain TFLite model that `reds extract` writes."""
    published: Published


def measure(network: Network, head: HeadKind, cuts: Sequence[Cut]) -> Iterator[Row]:
    """Yields the whole network and its cuts with a head."""
    taps = [cut.tap for cut in cuts]
    trained = untrained_network(network.trained, taps, head).family
    published = [network.whole, *(cut.auxiliary if head == "auxiliary" else cut.dense for cut in cuts)]
    sizes = file_sizes(network.on_device, taps, head)
    rows = zip(("whole", *taps), (None, *trained.exits), sizes, published, strict=True)
    for name, leave, (file_bytes, extracted_bytes), paper in rows:
        yield Row(
            network.name,
            name,
            "" if leave is None else head,
            parameters(trained.graph, leave),
            int(macs(trained.graph, full_widths(trained.graph), leave)),
            file_bytes,
            extracted_bytes,
            paper,
        )


def parameters(graph: Graph, leave: Exit | None) -> int:
    """As Keras counts them, of a network or of what is left of it with an exit's head."""
    parts = [(graph, len(graph.nodes) - 1)] if leave is None else [(graph, leave.tap), (leave.head, None)]
    return sum(
        values.size
        for part, last in parts
        for index in part.ancestors(len(part.nodes) - 1 if last is None else last)
        for values in part.nodes[index].weights.values()
    )


def file_sizes(architecture: str, taps: Sequence[str], head: HeadKind) -> list[tuple[int, int]]:
    """Bytes of the int8 file and of the plain model: of the whole network, then of what each tap leaves of it."""
    supernet = untrained_network(architecture, taps, head)
    shape = supernet.family.graph.input_shape
    samples = np.random.default_rng(0).standard_normal((CALIBRATION_SAMPLES, *shape), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        everything = emit(supernet, Path(folder) / "model.tflite", "int8", samples)
        parts = [truncate(everything, [index]) for index in range(1 + len(taps))]
    return [(len(part), len(extract(part, 0))) for part in parts]


def main() -> None:
    """Measures and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), metavar="FILE")
    arguments = parser.parse_args()
    heads: tuple[HeadKind, ...] = ("auxiliary", "dense")
    rows = [asdict(row) for network in NETWORKS for head in heads for row in measure(network, head, network.cuts)]
    # The whole network is the same whatever heads would be put into it.
    kept = [row for index, row in enumerate(rows) if row["head"] or row not in rows[:index]]
    write_atomically(arguments.out, (json.dumps({"rows": kept}, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
