"""Checks that an emitted file keeps the limits its subnetworks were searched within."""

from pathlib import Path

from reds.compiled import CompiledNetwork, CompiledSubnetwork
from reds.errors import VerificationError
from reds.graph import Family, Subnetwork
from reds.inspecting import SubnetworkReport, inspect
from reds.model_file import decode, read_model_file
from reds.solving.depth import candidate_cost
from reds.solving.metrics import ARENA, CYCLES
from reds.targets import Target, load_target


def verify_limits(source: Path | str | bytes, family: Family) -> None:
    """Compares what the plans of a file cost with the limits of the search.

    Args:
        source: path or bytes of a file that `emit` wrote.
        family: what it was made from.

    Raises:
        VerificationError: if a plan has other widths than its subnetwork or exceeds a limit.
    """
    network = decode(read_model_file(source))
    for subnetwork, row in zip(family.subnetworks, inspect(source).subnetworks, strict=True):
        if subnetwork.solution is None:
            continue
        if row.widths != subnetwork.widths:
            raise VerificationError(f"The plan of '{row.name}' has other widths than the search found.")
        solution = subnetwork.solution
        for metric, limit in {**solution.limits, solution.metric: solution.budget}.items():
            spent = _spent(metric, network, row, family, subnetwork)
            if spent > limit:
                raise VerificationError(f"The plan of '{row.name}' costs {spent} {metric}; its limit is {limit:g}.")


def _spent(metric: str, network: CompiledNetwork, row: SubnetworkReport, family: Family, subnetwork: Subnetwork) -> int:
    if metric == "macs":
        return row.macs
    if metric == "flash":
        return row.flash_bytes
    if metric == ARENA:
        return row.arena_bytes
    if metric.startswith(CYCLES):
        return _instructions(load_target(metric.removeprefix(CYCLES)), network, network.subnetworks[row.id])
    return candidate_cost(family, subnetwork, metric)


def _instructions(target: Target, network: CompiledNetwork, subnetwork: CompiledSubnetwork) -> int:
    """By the cost table, from the steps of the plan."""
    steps = (
        target.instructions(network.layers[step.layer], step.input_channels, step.output_channels)
        for step in subnetwork.steps
    )
    return round(target.inference) + sum(round(float(instructions)) for instructions in steps)
