"""The bench: drives a network on a board, or on an emulated one, over its serial line."""

from reds_bench.client import Bench, InferenceResult, OperationCost, Stats, Subnetwork
from reds_bench.emulator import boards, boot
from reds_bench.line_port import Timeouts
from reds_bench.scenario import Record, Scenario, Step, load_scenario, play

__all__ = [
    "Bench",
    "InferenceResult",
    "OperationCost",
    "Record",
    "Scenario",
    "Stats",
    "Step",
    "Subnetwork",
    "Timeouts",
    "boards",
    "boot",
    "load_scenario",
    "play",
]
