"""Residual networks: their channel groups form triangles, which the search takes two at a time."""

import numpy as np
import pytest
from residual_network import residual_network

from reds import cost
from reds.graph import Graph, Ranked
from reds.solving import solve
from reds.solving.metrics import cost_at

LARGEST_GAP = 1e-4


def ranked(graph: Graph) -> Ranked:
    generator = np.random.default_rng(0)
    return Ranked(graph, tuple(np.sort(generator.random(group.size))[::-1] for group in graph.groups), "random")


def test_resnet_8_is_solved_to_the_optimum() -> None:
    graph = residual_network()
    assert [group.size for group in graph.groups] == [16, 16, 32, 32, 64, 64]
    total = cost_at("macs", graph, cost.full_widths(graph))
    assert total == 12_501_632
    for order in ("bottom_up", "top_down", "joint"):
        family = solve(ranked(graph), order=order)
        for subnetwork, fraction in zip(family.subnetworks[1:], (0.75, 0.5, 0.25), strict=True):
            assert subnetwork.solution is not None and subnetwork.solution.seconds < 10
            assert subnetwork.solution.gap <= LARGEST_GAP
            assert 0.95 * fraction * total < cost_at("macs", graph, subnetwork.widths) <= fraction * total


@pytest.mark.parametrize("objective", ["product", "sum"])
def test_a_residual_network_of_many_blocks_is_solved_to_the_optimum(objective: str) -> None:
    graph = residual_network(stages=(16, 32, 64, 128), blocks=3)
    assert len(graph.groups) == 16
    family = solve(ranked(graph), [0.3], objective=objective)
    solution = family.subnetworks[1].solution
    assert solution is not None and solution.gap <= LARGEST_GAP and solution.seconds < 20
