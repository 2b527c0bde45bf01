"""Compares a training step of four subnetworks with one of the full network alone.

    python bench/experiments/training_step.py [--out FILE]

DS-CNN S with the subnetworks of 25, 50 and 75 % of its multiply-accumulates, batches of 100, one thread. Each
repetition measures every kind of step once, so that a change of the machine's load meets all of them; the first
ones only warm up. Counted is the time that the process was on a processor. The record is
`training_step_BACKEND.json` beside this file; KERAS_BACKEND chooses the backend. Exit code 1: the median ratio is
above the limit.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import keras
import numpy as np
from numpy.typing import NDArray

from reds import cost, zoo
from reds.files import write_atomically
from reds.finetuning.model import Branch, BranchesModel
from reds.finetuning.objectives import InPlaceDistillation
from reds.finetuning.statistics import estimate_batch_norms
from reds.finetuning.training import Schedule, compile_model
from reds.finetuning.weights import weights_of
from reds.graph import Family, Subnetwork
from reds.ranking import rank
from reds.solving import solve
from reds.tracing import trace

ARCHITECTURE = "ds_cnn_s"
BUDGETS = (0.25, 0.5, 0.75)
MULTIPLE = 4
BATCH = 100
WARM_UP, REPETITIONS = 5, 30
LARGEST_RATIO = 2.5


def make_model(family: Family, subnetworks: Sequence[Subnetwork], x: NDArray[np.float32]) -> BranchesModel:
    """A compiled model of some subnetworks."""
    graph = family.graph
    branches = [
        Branch(graph, one.name, one.widths, estimate_batch_norms(graph, [x], weights_of(graph), one.widths))
        for one in subnetworks
    ]
    model = BranchesModel(branches, InPlaceDistillation(0.5, 2.0))
    compile_model(model, Schedule(epochs=1, learning_rate=1e-3, batch_size=BATCH, seed=0), steps=1000)
    return model


def measure(models: Mapping[str, BranchesModel], x: NDArray, y: NDArray) -> dict[str, float]:
    """Median milliseconds of a step per model, and the median of the ratios within a repetition."""
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for repetition in range(WARM_UP + REPETITIONS):
        for name, model in models.items():
            started = time.process_time()
            model.train_on_batch(x, y)
            if repetition >= WARM_UP:
                seconds[name].append(time.process_time() - started)
    ratios = [four / one for four, one in zip(seconds["four subnetworks"], seconds["full network"], strict=True)]
    return {**{f"{name}, ms": 1000 * median(values) for name, values in seconds.items()}, "ratio": median(ratios)}


def main() -> int:
    """Measures and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    backend = keras.backend.backend()
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name(f"training_step_{backend}.json"))
    arguments = parser.parse_args()

    family = solve(rank(trace(zoo.build(ARCHITECTURE, 0)), method="l1"), BUDGETS, multiple=MULTIPLE)
    generator = np.random.default_rng(0)
    x = generator.normal(size=(BATCH, *family.graph.input_shape)).astype(np.float32)
    y = generator.integers(0, family.graph.output_shape[0], BATCH)
    models = {
        "four subnetworks": make_model(family, family.subnetworks, x),
        "full network": make_model(family, family.subnetworks[:1], x),
    }
    macs = [int(cost.macs(family.graph, one.widths)) for one in family.subnetworks]
    record = {
        "architecture": ARCHITECTURE,
        "backend": backend,
        "keras": keras.version(),
        "processor": platform.processor() or platform.machine(),
        "batch": BATCH,
        "repetitions": REPETITIONS,
        "widths": [one.widths for one in family.subnetworks],
        "ratio of multiply-accumulates": sum(macs) / macs[0],
        **measure(models, x, y),
    }
    write_atomically(arguments.out, (json.dumps(record, indent=1) + "\n").encode())
    print(json.dumps(record, indent=1))
    return int(record["ratio"] > LARGEST_RATIO)


if __name__ == "__main__":
    sys.exit(main())
