"""Searches a family of nested subnetworks, one per budget."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, get_args

import numpy as np

from reds import cost
from reds.errors import UsageError, VerificationError
from reds.graph import FULL_NAME, Family, JointSolution, Ranked, Solution, Subnetwork
from reds.shallow import shallow_ranked
from reds.skipping import blocks_named
from reds.solving.formulation import Objective, Rules, formulate, narrowest
from reds.solving.joint import JointBest, search_jointly
from reds.solving.lagrangian import cheapest
from reds.solving.metrics import ARENA, cost_at, planned_arenas
from reds.solving.problem import Problem
from reds.solving.search import LARGEST_SWEEP, Best, Effort, search

Order = Literal["bottom_up", "top_down", "joint"]
Progress = Callable[[str], None]

"""Name of subnetwork 0, the full network."""


def solve(
    ranked: Ranked,
    budgets: Sequence[float] = (0.25, 0.5, 0.75),
    metric: str = "macs",
    objective: Objective = "product",
    max_arena: int | None = None,
    multiple: int = 1,
    minimum: float | Mapping[str, float] = 1,
    order: Order = "bottom_up",
    element_bytes: int = 1,
    time_limit: float = 3.0,
    seed: int = 0,
    progress: Progress | None = None,
    limits: Mapping[str, float] | None = None,
    weights: Sequence[float] | None = None,
    kernels: bool = False,
    skip: Sequence[str] = (),
) -> Family:
    """Searches one subnetwork per budget: the widths that keep the most importance, nested in each other.

    Iterative knapsack of REDS (Corti et al., arXiv 2311.13349), with true costs: bottom-up gives each larger budget
    at least the widths of the smaller ones, top-down each smaller budget at most the widths of the larger ones. Joint
    searches all budgets at once, for the largest weighted sum of their values.

    Args:
        ranked: the network, its channels sorted by falling importance.
        budgets: limits, as fractions up to 1 of the full network's cost or as whole numbers in the metric's unit.
        metric: what the budgets limit: "macs", multiply-accumulates of one inference; "nominal_macs", the same as the
            REDS paper counts them; "flash", bytes that one inference reads; "arena", bytes of activations in memory
            at the same time; "cycles:TARGET", instructions by the cost table of a target or in a file.
        objective: what is made largest: "product" of the shares of importance that the channel groups keep, or the
            "sum" of all importance kept, as in REDS. A sum can starve one layer, through which everything must pass,
            because it is a small part of the whole; a product cannot.
        max_arena: the same as `limits={"arena": max_arena}`.
        multiple: widths are multiples of it, or the full width.
        minimum: smallest width as a number of channels, or below 1 as a fraction of the layer's; or one for each of
            the channel groups that are named.
        order: "bottom_up", "top_down" or "joint".
        element_bytes: bytes of one activation or weight: 1 for int8, 4 for float32.
        time_limit: seconds per budget that CP-SAT may take for what the dynamic programs leave open.
        seed: seed of CP-SAT.
        progress: called with a line per budget.
        limits: by metric, what every subnetwork but the full network may cost besides its budget, as `budgets`.
        weights: weight of each budget's value where the order is "joint"; all alike where None.
        kernels: value a pointwise convolution by the importance of the kernels between the kept channels of its input
            and its output, as REDS does, rather than by that of its filters.
        skip: names of residual blocks that every subnetwork but the full network leaves out, see `reds.skipping`. What
            is found can only be compared with what is found for the same blocks.

    Returns:
        The full network, named "100%", and one subnetwork per budget, falling. A fraction's is named by its
        percentage ("25%"), a whole number's by the metric ("macs=600000").

    Raises:
        UsageError: if an argument is out of range, a block cannot be skipped or a budget cannot be met.
        VerificationError: if the result is not nested or exceeds a limit.
    """
    _check_arguments(ranked, objective, order, multiple, minimum, element_bytes)
    given = dict(limits or {}) | ({} if max_arena is None else {ARENA: max_arena})
    amounts = {name: amount(ranked, name, limit, element_bytes, "limits") for name, limit in given.items()}
    rules = Rules(objective, multiple, minimum, element_bytes, kernels, amounts)
    skips = tuple(block.name for block in blocks_named(ranked.graph, skip)) if skip else ()
    own, network = shallow_ranked(ranked, skips=skips)
    _check_groups(own)
    _check_limits(own, rules)
    wanted = _wanted(ranked, budgets, metric, rules, weights)
    request = _Request(own, metric, rules, Effort(time_limit, seed), progress)
    full = Subnetwork(FULL_NAME, cost.full_widths(ranked.graph))
    joint = None
    if order == "joint":
        subnetworks, joint = _search_jointly(wanted, request)
    else:
        subnetworks = _search_in_turn(wanted, request, order)
    _verify(own, subnetworks, rules)
    found = (replace(one, widths=network.widen(one.widths, full.widths), skips=skips) for one in subnetworks)
    return Family(ranked.graph, ranked.importance, ranked.exits, (full, *found), joint)


@dataclass(frozen=True)
class _Wanted:
    """One subnetwork to find."""

    name: str
    budget: int
    weight: float


@dataclass(frozen=True)
class _Request:
    """How to search."""

    ranked: Ranked
    metric: str
    rules: Rules
    effort: Effort
    progress: Progress | None

    def problem(self, wanted: _Wanted) -> Problem:
        """The search for one subnetwork."""
        return formulate(self.ranked, self.metric, wanted.budget, self.rules)

    def found(self, wanted: _Wanted, best: Best, seconds: float) -> Subnetwork:
        """A subnetwork with its proof; tells of it."""
        limits = {name: most for name, most in self.rules.limits.items() if name != self.metric}
        solution = Solution(wanted.budget, self.metric, best.value, best.bound, seconds, limits)
        if self.progress is not None:
            spent = cost_at(self.metric, self.ranked.graph, best.widths, self.rules.element_bytes)
            self.progress(
                f"{wanted.name}: {spent} of {wanted.budget} {self.metric}, value {solution.value:.6g}, "
                f"bound {solution.bound:.6g}, gap {solution.gap:.2%}, {seconds:.2f} s"
            )
        return Subnetwork(wanted.name, best.widths, solution=solution)


def _search_in_turn(wanted: Sequence[_Wanted], request: _Request, order: Order) -> tuple[Subnetwork, ...]:
    """The subnetworks by falling budget, each within what the one before leaves it."""
    lower = (0,) * len(request.ranked.graph.groups)
    upper = cost.full_widths(request.ranked.graph)
    found: list[Subnetwork] = []
    for one in wanted[::-1] if order == "bottom_up" else wanted:
        start = time.perf_counter()
        best = _search(request.problem(one).between(lower, upper), one, request)
        found.append(request.found(one, best, time.perf_counter() - start))
        lower, upper = (best.widths, upper) if order == "bottom_up" else (lower, best.widths)
    return tuple(found[::-1] if order == "bottom_up" else found)


def _search_jointly(
    wanted: Sequence[_Wanted], request: _Request
) -> tuple[tuple[Subnetwork, ...], JointSolution | None]:
    """The subnetworks by falling budget, and how good they are together."""
    if not wanted:
        return (), None
    start = time.perf_counter()
    problems = [request.problem(one) for one in wanted]
    alone = [_search(problem, one, request) for problem, one in zip(problems, wanted, strict=True)]
    weights = [one.weight for one in wanted]
    joint = search_jointly(problems, alone, weights, request.effort)
    seconds = time.perf_counter() - start
    subnetworks = tuple(
        request.found(one, best, seconds / len(wanted)) for one, best in zip(wanted, joint.bests, strict=True)
    )
    return subnetworks, _joint_solution(weights, joint, seconds)


def _joint_solution(weights: Sequence[float], joint: JointBest, seconds: float) -> JointSolution:
    return JointSolution(tuple(weights), joint.value, joint.bound, seconds)


def _search(problem: Problem, one: _Wanted, request: _Request) -> Best:
    try:
        best = search(problem, request.effort)
    except TimeoutError as error:
        raise UsageError(f"`time_limit` is too short for {one.name}: {error}; raise it.") from error
    if best is None:
        raise _cannot_be_met(one, request)
    return best


def _check_groups(ranked: Ranked) -> None:
    if not ranked.graph.groups:
        raise UsageError(
            "`ranked` must have a layer besides its last one whose channels can be narrowed. Received: none."
        )


def _check_arguments(
    ranked: Ranked,
    objective: str,
    order: str,
    multiple: int,
    minimum: float | Mapping[str, float],
    element_bytes: int,
) -> None:
    for name, value, choices in (("objective", objective, get_args(Objective)), ("order", order, get_args(Order))):
        if value not in choices:
            raise UsageError(f"`{name}` must be one of {', '.join(choices)}. Received: {name}={value!r}")
    for name, number in (("multiple", multiple), ("element_bytes", element_bytes)):
        if number < 1:
            raise UsageError(f"`{name}` must be at least 1. Received: {name}={number}")
    by_group = minimum if isinstance(minimum, Mapping) else {}
    names = [group.name for group in ranked.graph.groups]
    for name in by_group:
        if name not in names:
            raise UsageError(f"`minimum` must name channel groups: {', '.join(names)}. Received: {name!r}")
    if any(smallest <= 0 for smallest in (by_group.values() if isinstance(minimum, Mapping) else [minimum])):
        raise UsageError(f"`minimum` must be above 0. Received: minimum={minimum}")
    if not all(np.all(np.isfinite(values)) and np.all(values >= 0) for values in ranked.importance):
        raise UsageError("`ranked.importance` must be finite and not negative; check the weights and the dataset.")


def _full_cost(ranked: Ranked, metric: str, element_bytes: int) -> int:
    return cost_at(metric, ranked.graph, cost.full_widths(ranked.graph), element_bytes)


def amount(ranked: Ranked, metric: str, limit: float, element_bytes: int, argument: str) -> int:
    """A limit in units of its metric.

    Args:
        ranked: the network whose full cost a fraction is of.
        metric: what is limited.
        limit: a fraction up to 1, or a whole number in the metric's unit.
        element_bytes: see `solve`.
        argument: the limit's name in messages.

    Raises:
        UsageError: if it is neither.
    """
    total = _full_cost(ranked, metric, element_bytes)
    if 0 < limit <= 1:
        return math.floor(limit * total)
    if limit > 1 and limit == int(limit):
        return int(limit)
    raise UsageError(
        f"`{argument}` must be fractions above 0 up to 1, or whole numbers in the metric's unit. Received: {limit}"
    )


def budget_name(metric: str, budget: float) -> str:
    """What the subnetwork of a budget is called."""
    return f"{100 * budget:g}%" if budget <= 1 else f"{metric}={int(budget)}"


def _wanted(
    ranked: Ranked, budgets: Sequence[float], metric: str, rules: Rules, weights: Sequence[float] | None
) -> tuple[_Wanted, ...]:
    """What to search, by falling budget; the full network itself is left out."""
    weights = [1.0] * len(budgets) if weights is None else weights
    if len(weights) != len(budgets) or any(weight <= 0 for weight in weights):
        raise UsageError(f"`weights` must be one number above 0 per budget. Received: {list(weights)}")
    by_name: dict[str, _Wanted] = {}
    for budget, weight in zip(budgets, weights, strict=True):
        name = budget_name(metric, budget)
        by_name[name] = _Wanted(name, amount(ranked, metric, budget, rules.element_bytes, "budgets"), weight)
    whole = by_name.pop(FULL_NAME, None)
    if whole is not None and rules.limits:
        name = ",".join(f"{name}={most}" for name, most in rules.limits.items())
        by_name[name] = replace(whole, name=name)
    return tuple(sorted(by_name.values(), key=lambda one: one.budget, reverse=True))


def _check_limits(ranked: Ranked, rules: Rules) -> None:
    for metric, most in rules.limits.items():
        needed = _least(ranked, metric, rules)
        if needed > most:
            raise UsageError(
                f"`limits` cannot be met: no subnetwork needs less than {needed} {_unit(metric)}. "
                f"Received: {metric}={most}; raise it, or lower `minimum` or `multiple`."
            )


def _least(ranked: Ranked, metric: str, rules: Rules) -> int:
    """What the cheapest subnetwork costs. On a core, a wider one can be cheaper than the narrowest."""
    smallest = narrowest(ranked.graph, rules)
    if metric != ARENA:
        problem = formulate(ranked, metric, 0, replace(rules, limits={}, kernels=False))
        if problem.sweep.work <= LARGEST_SWEEP:
            smallest = problem.widths_of(cheapest(problem))
    return cost_at(metric, ranked.graph, smallest, rules.element_bytes)


def _unit(metric: str) -> str:
    return "bytes" if metric == ARENA else metric


def _cannot_be_met(one: _Wanted, request: _Request) -> UsageError:
    least = _least(request.ranked, request.metric, request.rules)
    besides = " and the limits leave no other" if least <= one.budget else ""
    return UsageError(
        f"`budgets` cannot be met: no subnetwork needs less than {least} {_unit(request.metric)}{besides}. "
        f"Received: {one.name}, which is {one.budget}; raise it, or lower `minimum` or `multiple`."
    )


def _verify(ranked: Ranked, falling: Sequence[Subnetwork], rules: Rules) -> None:
    """Checks the result with the plain cost functions, which the search does not use, and with the arena's planner."""
    for larger, smaller in pairwise(falling):
        if any(few > many for few, many in zip(smaller.widths, larger.widths, strict=True)):
            raise VerificationError(f"Subnetwork '{smaller.name}' is not nested in '{larger.name}'.")
    for subnetwork in falling:
        solution = subnetwork.solution
        assert solution is not None
        for metric, most in {**solution.limits, solution.metric: solution.budget}.items():
            if cost_at(metric, ranked.graph, subnetwork.widths, rules.element_bytes) > most:
                raise VerificationError(f"Subnetwork '{subnetwork.name}' exceeds its {metric} of {most:g}.")
    _verify_arenas(ranked, falling, rules)


def _verify_arenas(ranked: Ranked, falling: Sequence[Subnetwork], rules: Rules) -> None:
    """Checks that the planner finds the arenas that the search counts on, where they are limited."""
    limits = [_arena_limit(one.solution) for one in falling if one.solution is not None]
    if all(limit is None for limit in limits):
        return
    family = [cost.full_widths(ranked.graph), *(one.widths for one in falling)]
    planned = planned_arenas(ranked.graph, family, rules.element_bytes)[1:]
    for subnetwork, arena, limit in zip(falling, planned, limits, strict=True):
        if limit is not None and arena > limit:
            raise VerificationError(
                f"The planner needs {arena} bytes for '{subnetwork.name}', whose arena is limited to {limit:g}: its "
                "maps leave gaps between them. Lower the limit of the arena by what is missing."
            )


def _arena_limit(solution: Solution) -> float | None:
    return solution.budget if solution.metric == ARENA else solution.limits.get(ARENA)
