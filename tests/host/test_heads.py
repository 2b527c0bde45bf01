"""What heads cost at every cut of the published networks, and which models of one's own are taken."""

from dataclasses import dataclass

import keras
import pytest
from keras import layers

from reds import cost, zoo
from reds.errors import UsageError
from reds.exits import attach_exits, possible_taps, promising_taps
from reds.finetuning.weights import arrays_of
from reds.forward import predict
from reds.graph import Exit, Graph, Ranked, Shape
from reds.heads import Head, HeadKind
from reds.tracing import trace


@dataclass(frozen=True)
class Cut:
    """Keras' parameters and multiply-accumulates of all that is left (De Leon and Atienza, arXiv 2204.10546)."""

    tap: str
    parameters: int
    macs: int
    dense_parameters: int


CUTS = {
    "mobilenet_v1_025": (
        Cut("conv1", 1_858, 3_096_608, 2_978),
        Cut("block1_pointwise", 2_546, 4_313_120, 3_810),
        Cut("block2_pointwise", 4_178, 2_552_864, 5_730),
        Cut("block3_pointwise", 5_810, 3_308_576, 7_362),
        Cut("block4_pointwise", 10_098, 2_921_504, 12_226),
        Cut("block5_pointwise", 15_410, 3_594_272, 17_538),
        Cut("block6_pointwise", 28_082, 3_634_592, 31_362),
        Cut("block7_pointwise", 46_898, 4_265_888, 50_178),
        Cut("block8_pointwise", 65_714, 4_897_184, 68_994),
        Cut("block9_pointwise", 84_530, 5_528_480, 87_810),
        Cut("block10_pointwise", 103_346, 6_159_776, 106_626),
        Cut("block11_pointwise", 122_162, 6_791_072, 125_442),
        Cut("block12_pointwise", 163_890, 6_980_288, 169_474),
        Cut("block13_pointwise", 234_290, 7_590_848, 239_874),
    ),
    "ds_cnn_s": (
        Cut("conv1", 7_228, 748_192, 9_516),
        Cut("block1_pointwise", 12_540, 1_332_192, 14_828),
        Cut("block2_pointwise", 17_852, 1_916_192, 20_140),
        Cut("block3_pointwise", 23_164, 2_500_192, 25_452),
        Cut("block4_pointwise", 28_476, 3_084_192, 30_764),
    ),
}

COMPACT_BLOCKS = {8: 8, 16: 8, 32: 16, 64: 32, 128: 32, 256: 32}
"""Channels of a compact head's first block by those of the map."""


@pytest.fixture(scope="module", params=CUTS)
def network(request: pytest.FixtureRequest) -> Ranked:
    graph = trace(zoo.build(request.param))
    return Ranked(graph, (), "random")


def _exits(ranked: Ranked, head: Head) -> tuple[Exit, ...]:
    return attach_exits(ranked, [cut.tap for cut in CUTS[ranked.graph.name]], head=head).exits


def _parameters(graph: Graph, last: int | None = None) -> int:
    """As Keras counts them, batch-norm statistics included."""
    nodes = graph.ancestors(len(graph.nodes) - 1 if last is None else last)
    return sum(value.size for node in nodes for value in graph.nodes[node].weights.values())


def _macs(ranked: Ranked, leave: Exit) -> int:
    return int(cost.macs(ranked.graph, cost.full_widths(ranked.graph), leave))


def _head_macs(leave: Exit) -> int:
    return int(cost.macs(leave.head, cost.full_widths(leave.head)))


def test_auxiliary_heads_cost_what_is_published(network: Ranked) -> None:
    classes = network.graph.output_shape[0]
    for cut, leave in zip(CUTS[network.graph.name], _exits(network, "auxiliary"), strict=True):
        assert _parameters(network.graph, leave.tap) + _parameters(leave.head) == cut.parameters, cut.tap
        assert _macs(network, leave) == cut.macs, cut.tap
        height, width, channels = leave.head.input_map
        assert _parameters(leave.head) == 46 * channels + 1200 + 17 * classes
        assert _head_macs(leave) == height * width * (41 * channels + 800) + 16 * classes


def test_dense_heads_cost_what_is_published(network: Ranked) -> None:
    classes = network.graph.output_shape[0]
    for cut, leave in zip(CUTS[network.graph.name], _exits(network, "dense"), strict=True):
        assert _parameters(network.graph, leave.tap) + _parameters(leave.head) == cut.dense_parameters, cut.tap
        channels = leave.head.input_map[2]
        assert _parameters(leave.head) == 64 * channels + 2144 + 33 * classes
        assert _head_macs(leave) == 64 * channels + 2048 + 32 * classes


def test_compact_heads_look_at_a_quarter_of_a_map(network: Ranked) -> None:
    for compact, auxiliary in zip(_exits(network, "compact"), _exits(network, "auxiliary"), strict=True):
        height, width, channels = compact.head.input_map
        if min(height, width) < 4:
            continue
        positions, first = (height + 1) // 2 * ((width + 1) // 2), COMPACT_BLOCKS[channels]
        blocks = (9 + first) * channels + (9 + first // 2) * first
        assert _head_macs(compact) == positions * blocks + first // 2 * network.graph.output_shape[0]
        assert 3 * _head_macs(compact) <= _head_macs(auxiliary)


def test_a_narrower_map_narrows_a_head(network: Ranked) -> None:
    widths = tuple((size + 1) // 2 for size in cost.full_widths(network.graph))
    leave = _exits(network, "auxiliary")[1]
    group = network.graph.nodes[leave.tap].output_group
    assert group is not None
    height, width, _ = leave.head.input_map
    backbone = Exit("nothing", leave.tap, Graph("", leave.head.input_shape, (1,), (), ()))
    own = cost.macs(network.graph, widths, leave) - cost.macs(network.graph, widths, backbone)
    assert own == height * width * (41 * widths[group] + 800) + 16 * network.graph.output_shape[0]


PROMISING = {
    ("mobilenet_v1_025", "auxiliary", 20): [2, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    ("mobilenet_v1_025", "auxiliary", 4): [2, 7, 9, 12],
    ("ds_cnn_s", "auxiliary", 4): [0, 1, 2, 3],
    ("ds_cnn_s", "compact", 2): [0, 3],
}
"""Blocks whose exits are worth training; 0 is the convolution before the first."""


@pytest.mark.parametrize("case", PROMISING)
def test_exits_that_cost_more_than_deeper_ones_are_not_promising(case: tuple[str, HeadKind, int]) -> None:
    name, head, most = case
    taps = promising_taps(trace(zoo.build(name)), head, most)
    assert list(taps) == [f"block{block}_pointwise" if block else "conv1" for block in PROMISING[case]]


def test_a_network_of_which_no_exit_is_cheaper_needs_named_layers() -> None:
    with pytest.raises(UsageError, match="No exit of"):
        promising_taps(_small().graph)


def _small() -> Ranked:
    inputs = layers.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="first")(inputs)
    x = layers.Conv2D(5, 3, padding="same", activation="relu", name="second")(x)
    x = layers.Dense(4, activation="softmax", name="classes")(layers.GlobalAveragePooling2D()(x))
    return Ranked(trace(keras.Model(inputs, x)), (), "random")


def _own_head(shape: Shape = (8, 8, 6), classes: int = 4, function: str | None = "softmax") -> keras.Model:
    source = layers.Input(shape)
    x = layers.Conv2D(3, 5, strides=3, activation="relu", name="look")(source)
    return keras.Model(source, layers.Dense(classes, activation=function, name="classes")(layers.Flatten()(x)))


def test_a_model_of_ones_own_is_a_head_with_its_weights() -> None:
    model = _own_head()
    ranked = attach_exits(_small(), ["first"], head=model)
    features = keras.random.normal((2, 8, 8, 6), seed=0)
    expected = keras.ops.convert_to_numpy(model(features))
    given = predict(ranked.exits[0].head, keras.ops.convert_to_numpy(features))
    assert given == pytest.approx(expected, abs=1e-5)
    names = [node.name for graph in (ranked.graph, ranked.exits[0].head) for node in graph.nodes]
    assert len(set(names)) == len(names)


def test_a_function_makes_a_head_for_each_map() -> None:
    exits = attach_exits(_small(), ["first", "second"], head=lambda shape, classes: _own_head(shape, classes)).exits
    assert [leave.head.input_map for leave in exits] == [(8, 8, 6), (8, 8, 5)]


def _transposed_head() -> keras.Model:
    source = layers.Input((8, 8, 6))
    x = layers.GlobalAveragePooling2D()(layers.Conv2DTranspose(3, 2, name="up")(source))
    return keras.Model(source, layers.Dense(4, activation="softmax")(x))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("large", "`head` must be one of auxiliary, dense, compact"),
        (_own_head((8, 8, 5)), r"must read a map of shape \(8, 8, 6\)"),
        (_own_head(classes=3), "must give 4 class scores"),
        (_own_head(function=None), "must end with softmax"),
        (lambda shape, classes: None, "must return a `keras.Model`"),
        (_transposed_head(), "'up'"),
    ],
)
def test_heads_that_do_not_fit_are_refused(head: Head, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        attach_exits(_small(), ["first"], head=head)


def test_one_model_cannot_be_behind_two_layers() -> None:
    with pytest.raises(UsageError, match="behind 2 layers"):
        attach_exits(_small(), ["first", "second"], head=_own_head())


def test_heads_of_a_vector_are_dense() -> None:
    inputs = layers.Input((7,))
    x = layers.Dense(10, activation="relu", name="first")(inputs)
    ranked = Ranked(trace(keras.Model(inputs, layers.Dense(3)(x))), (), "random")
    assert possible_taps(ranked.graph) == ("first",)
    sizes = {head: sum(value.size for value in arrays_of(attach_exits(ranked, ["first"], head=head).exits[0].head))
             for head in ("auxiliary", "dense", "compact")}  # fmt: skip
    assert sizes == {"auxiliary": 2883, "dense": 2883, "compact": 10 * 10 + 10 + 10 * 3 + 3}
