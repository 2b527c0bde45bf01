"""Measures subnetworks that are found without training: python bench/experiments/without_data.py RECORD.json RUN...

Each RUN is a folder that `reds prune` or baselines.py made, of a network trained on real speech clips (REDS_DATA). The
network as it was trained, before its subnetworks were, is converted to int8 by the TFLite converter, as another tool's
user has it, and `reds adopt --prune` adds subnetworks, without data and with samples of the training split. libreds
measures them on the test split, beside those that `reds prune` trained.
"""

import argparse
import contextlib
import io
import json
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from reds.adopting import AdoptPruning, adopt
from reds.adopting.importance import Importance
from reds.datasets import load
from reds.files import write_atomically
from reds.inspecting import ModelReport, inspect
from reds.measuring import measure_accuracy
from reds.run_folder import BASELINE_FILE, CALIBRATION_FILE, TABLE_FILE

DATA = "speech_commands"
BUDGETS = (0.25, 0.5, 0.75, 0.9)
SAMPLES = 120


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures all runs and writes the record after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("record", type=Path, metavar="RECORD.json")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    chosen = parser.parse_args(arguments)
    networks = []
    for run in chosen.runs:
        networks.append(_network(run))
        record = {"data": DATA, "samples": SAMPLES, "networks": networks}
        write_atomically(chosen.record, (json.dumps(record, indent=1) + "\n").encode())


def _network(run: Path) -> dict[str, Any]:
    """What is left of the accuracy of one network."""
    model = keras.models.load_model(run / BASELINE_FILE)
    x, y = load(DATA).with_input_shape(model.input_shape[1:]).test.features()
    calibration = np.load(run / CALIBRATION_FILE)
    trained = json.loads((run / TABLE_FILE).read_text(encoding="utf-8"))["subnetworks"]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        foreign, adopted = Path(folder) / "foreign.tflite", Path(folder) / "adopted.tflite"
        foreign.write_bytes(_converted(model, calibration))
        for way, (importance, samples) in _ways(calibration).items():
            adopt(foreign, adopted, AdoptPruning(BUDGETS, importance=importance, samples=samples))
            measure_accuracy(adopted, x, y)
            found[way] = _rows(inspect(adopted))
    return {
        "architecture": model.name,
        "run": f"{run.parent.name}/{run.name}",
        "test_samples": len(y),
        "trained": [{name: row[name] for name in ("name", "macs", "widths", "accuracy")} for row in trained],
        "found": found,
    }


def _ways(calibration: NDArray[np.float32]) -> dict[str, tuple[Importance, NDArray | None]]:
    """By name what channels are sorted by, and the samples whose means go into the biases."""
    samples = calibration[:: len(calibration) // SAMPLES]
    noise = np.random.default_rng(0).integers(-128, 128, samples.shape, np.int8)
    return {
        "paths": ("paths", None),
        "l1": ("l1", None),
        "samples": ("fluctuation", samples),
        "noise": ("paths", noise),
    }


def _rows(report: ModelReport) -> list[dict[str, Any]]:
    return [
        {"name": row.name, "macs": row.macs, "widths": row.widths, "accuracy": row.accuracy}
        for row in report.subnetworks
    ]


def _converted(model: keras.Model, calibration: NDArray[np.float32]) -> bytes:
    """The network as an int8 TFLite file."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample[np.newaxis]] for sample in calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return bytes(converter.convert())


if __name__ == "__main__":
    main()
