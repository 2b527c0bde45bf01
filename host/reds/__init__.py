"""One neural network that fits a microcontroller whose time, energy and memory change while it runs.

    traced = reds.trace(model)
    ranked = reds.rank(traced, dataset)
    family = reds.solve(ranked, budgets=(0.25, 0.5, 0.75))
    supernet = reds.finetune(family, dataset)
    reds.emit(supernet, "model.tflite", type="int8", calibration=reds.calibration_samples(dataset))

    runtime = reds.Runtime("model.tflite")
    runtime.set_budget(macs=700_000)
    y = runtime.invoke(x)

Names are loaded when they are first used, so that `import reds` does not load TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reds.adopting import adopt
    from reds.baselines import measure_baseline
    from reds.confidence import calibrate_cascade
    from reds.datasets import Dataset
    from reds.datasets import load as load_dataset
    from reds.emitting import annotate, emit, extract, truncate
    from reds.errors import DeviceError, RedsError, UsageError, VerificationError
    from reds.exits import attach_exits
    from reds.finetuning import accuracy, evaluate, finetune, quantize_aware
    from reds.inspecting import inspect
    from reds.measuring import measure_accuracy, measure_instructions
    from reds.pruning import PruneSettings, calibration_samples, prune
    from reds.quantizing import quantize
    from reds.ranking import permute, rank
    from reds.reporting import report
    from reds.runtime import Runtime
    from reds.skipping import skippable_blocks
    from reds.solving import solve, solve_with_exits
    from reds.store import load, save
    from reds.tracing import trace
    from reds.training import train
    from reds.verifying import verify

_HOMES = {
    "Dataset": "datasets",
    "DeviceError": "errors",
    "PruneSettings": "pruning",
    "RedsError": "errors",
    "Runtime": "runtime",
    "UsageError": "errors",
    "VerificationError": "errors",
    "accuracy": "finetuning",
    "adopt": "adopting",
    "annotate": "emitting",
    "attach_exits": "exits",
    "calibrate_cascade": "confidence",
    "calibration_samples": "pruning",
    "emit": "emitting",
    "evaluate": "finetuning",
    "extract": "emitting",
    "finetune": "finetuning",
    "inspect": "inspecting",
    "load": "store",
    "load_dataset": "datasets",
    "measure_accuracy": "measuring",
    "measure_baseline": "baselines",
    "measure_instructions": "measuring",
    "permute": "ranking",
    "prune": "pruning",
    "quantize": "quantizing",
    "quantize_aware": "finetuning",
    "rank": "ranking",
    "report": "reporting",
    "save": "store",
    "skippable_blocks": "skipping",
    "solve": "solving",
    "solve_with_exits": "solving",
    "trace": "tracing",
    "train": "training",
    "truncate": "emitting",
    "verify": "verifying",
}

_OTHER_NAMES = {"load_dataset": "load"}
"""Names that are shorter in their own module."""

__all__ = [
    "Dataset",
    "DeviceError",
    "PruneSettings",
    "RedsError",
    "Runtime",
    "UsageError",
    "VerificationError",
    "accuracy",
    "adopt",
    "annotate",
    "attach_exits",
    "calibrate_cascade",
    "calibration_samples",
    "emit",
    "evaluate",
    "extract",
    "finetune",
    "inspect",
    "load",
    "load_dataset",
    "measure_accuracy",
    "measure_baseline",
    "measure_instructions",
    "permute",
    "prune",
    "quantize",
    "quantize_aware",
    "rank",
    "report",
    "save",
    "skippable_blocks",
    "solve",
    "solve_with_exits",
    "trace",
    "train",
    "truncate",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Loads a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module 'reds' has no attribute '{name}'")
    return getattr(import_module(f"reds.{_HOMES[name]}"), _OTHER_NAMES.get(name, name))
