"""A build without its tools says what to install."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCONSTRUCT = Path(__file__).parents[3] / "SConstruct"


@pytest.mark.parametrize(("present", "package"), [((), "`g++`"), (("g++",), "`flatbuffers-compiler`")])
def test_a_missing_program(tmp_path: Path, present: tuple[str, ...], package: str) -> None:
    shutil.copy(SCONSTRUCT, tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in present:
        (programs / name).symlink_to("/bin/true")
    said = subprocess.run(
        [sys.executable, "-c", "import SCons.Script; SCons.Script.main()"],
        cwd=tmp_path,
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
    )
    assert said.returncode == 1
    (sentence,) = said.stderr.splitlines()
    assert sentence.startswith("scons: `")
    assert f"install the Debian package {package}." in sentence
