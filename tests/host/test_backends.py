"""The pipeline on Keras' other backend, in a process of its own, since a process has one backend."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from small_run import SETTINGS, save_small_model, small_dataset

from reds.pruning import PrunedRun, prune

SETTINGS_OF_BOTH = replace(SETTINGS, epochs=3, exit_epochs=3, learning_rate=2e-2, quantization_aware=1)

PROGRAM = """
import json, sys
from dataclasses import asdict
from pathlib import Path

import keras
from test_backends import SETTINGS_OF_BOTH
from small_run import small_dataset

from reds.pruning import prune

model = keras.models.load_model(sys.argv[1])
run = prune(model, small_dataset(), Path(sys.argv[2]), SETTINGS_OF_BOTH)
widths = [one.widths for one in run.family.subnetworks]
print(json.dumps({"backend": keras.backend.backend(), "widths": widths, "accuracy": run.accuracy}))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_model(tmp_path_factory.mktemp("model") / "small.keras")


@pytest.fixture(scope="module")
def on_tensorflow(model: Path, tmp_path_factory: pytest.TempPathFactory) -> PrunedRun:
    import keras

    return prune(keras.models.load_model(model), small_dataset(), tmp_path_factory.mktemp("run"), SETTINGS_OF_BOTH)


def test_jax_goes_the_whole_way(model: Path, on_tensorflow: PrunedRun, tmp_path: Path) -> None:
    if find_spec("jax") is None:
        pytest.skip("jax is not installed; `pip install 'reds[test]'` brings it")
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "PYTHONPATH": os.pathsep.join((str(Path(__file__).parent), *sys.path)),
    }
    command = [sys.executable, "-c", PROGRAM, str(model), str(tmp_path / "run")]
    finished = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    result = json.loads(finished.stdout.splitlines()[-1])
    assert result["backend"] == "jax"
    assert result["widths"] == [list(one.widths) for one in on_tensorflow.family.subnetworks]
    np.testing.assert_allclose(result["accuracy"], on_tensorflow.accuracy, atol=0.1)
    assert result["accuracy"][0] > 0.9
