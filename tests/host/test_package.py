"""The package's front door."""

import subprocess
import sys

import pytest

import reds


@pytest.mark.parametrize("name", reds.__all__)
def test_every_public_name_is_there_and_explained(name: str) -> None:
    value = getattr(reds, name)
    assert callable(value)
    assert value.__doc__


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        reds.no_such_name  # noqa: B018


def loaded_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in said.stdout.split()}


@pytest.mark.parametrize(
    "statement",
    ["import reds", "from reds import Runtime, inspect, extract", "import reds.cli, reds.cli.run, reds.cli.inspect"],
)
def test_what_runs_models_does_not_load_what_trains_them(statement: str) -> None:
    assert not loaded_by(statement) & {"tensorflow", "keras", "matplotlib", "ortools"}
