"""Which channels move together, and which never move."""

from reds.graph import (
    INPUT,
    Activation,
    Add,
    BatchNormalization,
    ChannelGroup,
    Concatenate,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Node,
    Operation,
)
from reds.grouping import with_groups

POINT = (1, 1)


def node(name: str, operation: Operation, *inputs: int, channels: int = 4) -> Node:
    return Node(name, operation, inputs, (1, 1, channels), None, None, {})


def groups_of(*nodes: Node) -> tuple[list[tuple[int | None, int | None]], tuple[ChannelGroup, ...]]:
    """Input and output group of every node, and the groups."""
    grouped, groups = with_groups(nodes)
    return [(node.input_group, node.output_group) for node in grouped], groups


def test_a_chain_has_a_group_per_layer_that_makes_channels_but_the_last() -> None:
    pairs, groups = groups_of(
        node("a", Conv2D(POINT), INPUT),
        node("norm", BatchNormalization(1e-3), 0),
        node("depthwise", DepthwiseConv2D(POINT), 1),
        node("b", Conv2D(POINT), 2, channels=6),
        node("c", Dense(), 3, channels=3),
        node("softmax", Activation("softmax"), 4, channels=3),
    )
    assert groups == (ChannelGroup("a", 4), ChannelGroup("b", 6))
    assert pairs == [(None, 0), (0, 0), (0, 0), (0, 1), (1, None), (None, None)]


def test_a_sum_has_one_group_with_all_that_it_adds() -> None:
    pairs, groups = groups_of(
        node("stem", Conv2D(POINT), INPUT),
        node("wide", Conv2D(POINT), 0, channels=9),
        node("narrow", Conv2D(POINT), 1),
        node("add", Add(), 2, 0),
        node("again", Conv2D(POINT), 3),
        node("add again", Add(), 3, 4),
        node("output", Dense(), 5, channels=2),
    )
    assert groups == (ChannelGroup("stem", 4), ChannelGroup("wide", 9))
    assert pairs == [(None, 0), (0, 1), (1, 0), (0, 0), (0, 0), (0, 0), (0, None)]


def test_what_is_added_to_the_input_or_makes_the_output_is_fixed() -> None:
    pairs, groups = groups_of(
        node("shortcut", Conv2D(POINT), INPUT),
        node("add", Add(), INPUT, 0),
        node("free", Conv2D(POINT), 1, channels=5),
        node("left", Conv2D(POINT), 2),
        node("right", Conv2D(POINT), 2),
        node("output", Add(), 3, 4),
    )
    assert groups == (ChannelGroup("free", 5),)
    assert pairs == [(None, None), (None, None), (None, 0), (0, None), (0, None), (None, None)]


def test_a_concatenation_fixes_its_inputs_its_output_and_what_is_added_to_them() -> None:
    pairs, groups = groups_of(
        node("left", Conv2D(POINT), INPUT),
        node("right", Conv2D(POINT), INPUT, channels=3),
        node("same", Conv2D(POINT), 0),
        node("add", Add(), 0, 2),
        node("concatenate", Concatenate(), 1, 3, channels=7),
        node("relu", Activation("relu"), 4, channels=7),
        node("free", Conv2D(POINT), 5, channels=5),
        node("output", Dense(), 6, channels=2),
    )
    assert groups == (ChannelGroup("free", 5),)
    assert {pair for pair in pairs[:6]} == {(None, None)}
    assert pairs[6:] == [(None, 0), (0, None)]
