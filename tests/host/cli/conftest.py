"""A finished small run for all commands, and a way to call them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_run import SETTINGS, SHAPE, save_small_model, small_dataset, small_model

from reds.cli import main, options
from reds.emitting import extract
from reds.pruning import prune


@dataclass(frozen=True)
class Answer:
    """What a command said and returned."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The document that is alone on stdout."""
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        """The one line on stderr."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("reds"), lines[0]
        assert "Traceback" not in lines[0]
        return lines[0]


Command = Callable[..., Answer]


@pytest.fixture
def reds(capsys: pytest.CaptureFixture[str]) -> Command:
    """Calls the command line in this process."""

    def call(*arguments: object) -> Answer:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return Answer(code, said.out, said.err)

    return call


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; not to be changed."""
    folder = tmp_path_factory.mktemp("run")
    prune(small_model(), small_dataset(), folder, SETTINGS)
    return folder


@pytest.fixture(scope="session")
def model(run_folder: Path) -> Path:
    """Its .tflite file."""
    return run_folder / "model.tflite"


@pytest.fixture(scope="session")
def foreign(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain .tflite file without the metadata entry."""
    path = tmp_path_factory.mktemp("foreign") / "plain.tflite"
    path.write_bytes(extract(model, 0))
    return path


@pytest.fixture(scope="session")
def keras_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network before pruning."""
    return save_small_model(tmp_path_factory.mktemp("keras") / "small.keras")


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch in the model's own type."""
    path = tmp_path_factory.mktemp("inputs") / "x.npy"
    np.save(path, np.random.default_rng(0).integers(-128, 128, (3, *SHAPE), np.int8))
    return path


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a data set that fits the small network."""
    monkeypatch.setattr(options, "load_dataset", lambda *_: small_dataset())
    return "pictures"
