"""The distributions hold what they need: a wheel the build products, a source distribution what makes them."""

import fcntl
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OLDEST_SETUPTOOLS = 77
SLOW = "REDS_SLOW_TESTS"

needs_setuptools = pytest.mark.skipif(
    int(version("setuptools").partition(".")[0]) < OLDEST_SETUPTOOLS, reason=f"needs setuptools {OLDEST_SETUPTOOLS}"
)
slow = pytest.mark.skipif(SLOW not in os.environ, reason=f"downloads 2 GB; set {SLOW}=1 to run it")


@contextmanager
def alone() -> Iterator[None]:
    """Lets one test process at a time build a distribution: setuptools collects it in one folder of the tree."""
    with open(ROOT / "build/distribution.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "-w", folder, ROOT]
    with alone():
        subprocess.run(command, check=True)
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def source_distribution(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    statement = f"from setuptools import build_meta; build_meta.build_sdist({str(folder)!r})"
    with alone():
        subprocess.run([sys.executable, "-c", statement], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    (path,) = folder.iterdir()
    return path


@needs_setuptools
def test_a_wheel_is_for_this_platform_and_any_python(wheel: Path) -> None:
    _, _, python, abi, platform = wheel.stem.split("-")
    assert (python, abi) == ("py3", "none")
    assert platform.startswith("linux")


@needs_setuptools
def test_a_wheel_holds_what_the_build_made(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {Path(name) for name in archive.namelist()}
    for folder in ("artifacts", "schema"):
        made = [file for file in (ROOT / "host/reds" / folder).rglob("*") if file.is_file() and file.suffix != ".pyc"]
        assert made
        assert {file.relative_to(ROOT / "host") for file in made} <= packed
    emulator = {Path("reds_bench/rp2040js") / name for name in ("emulate.js", "package.json", "package-lock.json")}
    assert {file for file in packed if "rp2040js" in file.parts} == emulator
    assert {file.parts[0] for file in packed if file.suffix == ".py"} == {"reds", "reds_bench"}


@needs_setuptools
def test_an_unpacked_wheel_runs_a_model(wheel: Path, example, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    statement = (
        f"import reds; print(len(reds.Runtime({str(example.model_header.with_suffix('.tflite'))!r}).subnetworks))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", f"{statement}; print(reds.__file__)"]
    said = subprocess.run(command, cwd="/", env=environment, check=True, stdout=subprocess.PIPE, text=True)
    assert said.stdout.splitlines() == ["3", str(tmp_path / "reds/__init__.py")]


@needs_setuptools
def test_a_source_distribution_holds_what_builds_libreds(source_distribution: Path) -> None:
    with tarfile.open(source_distribution) as archive:
        packed = {Path(*Path(member.name).parts[1:]) for member in archive if member.isfile()}
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    tracked = {Path(name) for name in listed.stdout.split("\0") if name}
    folders = ("device", "examples", "host", "packaging", "shared")
    assert {file for file in tracked if file.parts[0] in folders} <= packed
    assert {Path("SConstruct"), Path("setup.py"), Path("pyproject.toml")} <= packed
    assert not any(file.is_relative_to(f"host/reds/{made}") for made in ("artifacts", "schema") for file in packed)


@slow
@needs_setuptools
def test_a_source_distribution_installs_and_runs_a_model(source_distribution: Path, example, tmp_path: Path) -> None:
    venv.create(tmp_path / "environment", with_pip=True)
    python = tmp_path / "environment/bin/python"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([python, "-m", "pip", "install", "--quiet", source_distribution], check=True, env=environment)
    statement = (
        f"import reds; print(len(reds.Runtime({str(example.model_header.with_suffix('.tflite'))!r}).subnetworks))"
    )
    said = subprocess.run(
        [python, "-c", statement], cwd=tmp_path, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    assert said.stdout == "3\n"
