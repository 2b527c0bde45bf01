"""Small problems of every shape, and what is best for them by trying everything."""

from collections.abc import Iterator
from itertools import combinations, product

import numpy as np
from hypothesis import strategies as st

from reds.solving import closing, cp_sat, pricing
from reds.solving.problem import Choice, Edge, Limit, Problem, Terms

SHAPES = ("chain", "tree", "cycle", "triangles", "any")
LARGEST_WIDTH = 8


def edges_of(shape: str, groups: int, generator: np.random.Generator) -> list[Edge]:
    """Which groups depend on each other."""
    match shape:
        case "chain":
            return [(group - 1, group) for group in range(1, groups)]
        case "tree":
            return [(int(generator.integers(group)), group) for group in range(1, groups)]
        case "cycle":
            return [(group - 1, group) for group in range(1, groups)] + ([(0, groups - 1)] if groups > 2 else [])
        case "triangles":
            return [(first, second) for first, second in combinations(range(groups), 2) if second - first <= 2]
        case _:
            return [edge for edge in combinations(range(groups), 2) if generator.random() < 0.6]


def random_problem(
    generator: np.random.Generator,
    shape: str = "chain",
    groups: int = 4,
    limits: int = 1,
    product_costs: bool = True,
    pair_values: bool = False,
    forbid: bool = False,
) -> Problem:
    """Costs as of layers or arbitrary tables, ties in value and cost, forbidden pairs."""
    sizes = generator.integers(1, 6, groups)
    widths = tuple(np.sort(generator.choice(np.arange(1, LARGEST_WIDTH + 1), size, replace=False)) for size in sizes)
    edges = edges_of(shape, groups, generator)
    tables = {edge: np.multiply.outer(widths[edge[0]], widths[edge[1]]) for edge in edges}

    def costs() -> Terms:
        pairs = {
            edge: generator.integers(0, 4) * table if product_costs else generator.integers(0, 40, table.shape)
            for edge, table in tables.items()
        }
        unary = tuple(generator.integers(0, 5) * allowed for allowed in widths)
        return Terms(unary, pairs, int(generator.integers(0, 10)))

    def limit(index: int) -> Limit:
        terms = costs()
        return Limit(f"metric{index}", terms, int(generator.uniform(0, 1.1) * terms.largest()))

    whole = generator.random() < 0.5
    steps = (generator.integers(0, 4, size) if whole else generator.random(size) for size in sizes)
    values = {edge: generator.random(table.shape) for edge, table in tables.items() if pair_values}
    allowed = {edge: generator.random(table.shape) < 0.7 for edge, table in tables.items() if forbid}
    unary = tuple(np.cumsum(step).astype(np.float64) for step in steps)
    return Problem(widths, Terms(unary, values), tuple(limit(index) for index in range(limits)), allowed)


def problems(**fixed: object) -> st.SearchStrategy[Problem]:
    """Random problems, all shapes alike."""
    drawn = {
        "shape": st.sampled_from(SHAPES),
        "groups": st.integers(1, 5),
        "product_costs": st.booleans(),
        "pair_values": st.booleans(),
        "forbid": st.booleans(),
    }
    drawn |= {name: st.just(value) for name, value in fixed.items()}
    seeds = st.integers(0, 2**32).map(np.random.default_rng)
    return st.builds(random_problem, generator=seeds, **drawn)


def choices(problem: Problem) -> Iterator[Choice]:
    """All of them."""
    return product(*(range(len(widths)) for widths in problem.widths))


def brute_force(problem: Problem) -> float | None:
    """Value of the best choice, by tables over all choices."""
    shape = tuple(len(widths) for widths in problem.widths)
    feasible = np.ones(shape, np.bool_)
    for (first, second), table in problem.allowed.items():
        feasible &= _spread(table, (first, second), len(shape))
    for limit in problem.limits:
        feasible &= _sum(limit.costs, shape) <= limit.budget
    return float(_sum(problem.values, shape)[feasible].max()) if feasible.any() else None


def _sum(terms: Terms, shape: tuple[int, ...]) -> np.ndarray:
    total = np.full(shape, terms.constant, np.float64)
    for group, table in enumerate(terms.unary):
        total = total + _spread(table, (group,), len(shape))
    for edge, table in terms.pairs.items():
        total = total + _spread(table, edge, len(shape))
    return total


def _spread(table: np.ndarray, groups: tuple[int, ...], count: int) -> np.ndarray:
    sizes = dict(zip(groups, table.shape, strict=True))
    return table.reshape([sizes.get(group, 1) for group in range(count)])


def solve_here() -> None:
    """Lets searches in this process call OR-Tools directly, which spares them the start of a process each."""
    closing.close_gap = cp_sat.close_gap
    closing.solve_dual = pricing.solve_dual
