"""Puts libreds, the generated schema and the bench firmware into a wheel; pyproject.toml says everything else."""

import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
TARGETS = ("generated", "host/reds/artifacts")


class BuildWithScons(build_py):
    """Makes what SCons makes, then collects the packages. An editable install is built by `scons` itself."""

    def run(self) -> None:
        if not self.editable_mode:
            # What an earlier build left there would be packed too.
            shutil.rmtree(self.build_lib, ignore_errors=True)
            build_libreds()
        super().run()


class PlatformWheel(bdist_wheel):
    """A wheel for any Python 3 of this platform: libreds is loaded through its C interface, not Python's."""

    def get_tag(self) -> tuple[str, str, str]:
        *_, platform = super().get_tag()
        return "py3", "none", platform


class BinaryDistribution(Distribution):
    """A distribution with a shared library."""

    def has_ext_modules(self) -> bool:
        return True


def build_libreds() -> None:
    """Runs SCons, which says in a sentence what is missing."""
    built = subprocess.run([sys.executable, "-m", "SCons", "--silent", *TARGETS], cwd=ROOT)
    if built.returncode != 0:
        sys.exit("setup.py: building libreds failed; the lines above say why.")


setup(
    cmdclass={"build_py": BuildWithScons, "bdist_wheel": PlatformWheel},
    distclass=BinaryDistribution,
)
