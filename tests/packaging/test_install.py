"""Programs find an installed libreds with pkg-config and with CMake, link it and run a model."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from emulation import COMPILER, FLAGS, needs_arm_compiler, needs_qemu, run_image

CONSOLE = "#include <stdio.h>\n\nvoid print(const char* text);\nvoid print(const char* text) { fputs(text, stdout); }\n"
PROJECT = """
cmake_minimum_required(VERSION 3.16)
project(minimal C)
find_package(reds 0.1 REQUIRED ${COMPONENTS})
add_executable(minimal ${SOURCES})
target_include_directories(minimal PRIVATE ${HEADERS})
target_link_libraries(minimal PRIVATE reds::reds)
"""

needs_cmake = pytest.mark.skipif(shutil.which("cmake") is None, reason="needs `cmake`")
needs_pkg_config = pytest.mark.skipif(shutil.which("pkg-config") is None, reason="needs `pkg-config`")


@pytest.fixture(scope="module")
def installed(scons: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prefix of an installation."""
    folder = tmp_path_factory.mktemp("installed")
    scons("install", f"destdir={folder}", "prefix=/opt/reds")
    return folder / "opt/reds"


@pytest.fixture
def console(tmp_path: Path) -> Path:
    path = tmp_path / "console.c"
    path.write_text(CONSOLE)
    return path


def package_flags(installed: Path, name: str) -> list[str]:
    environment = {**os.environ, "PKG_CONFIG_PATH": str(installed / "lib/pkgconfig")}
    command = ["pkg-config", "--cflags", "--libs", name]
    said = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return said.stdout.split()


def configure(folder: Path, installed: Path, **variables: object) -> subprocess.CompletedProcess[str]:
    (folder / "CMakeLists.txt").write_text(PROJECT)
    definitions = [f"-D{name}={value}" for name, value in {"CMAKE_PREFIX_PATH": installed, **variables}.items()]
    command = ["cmake", "-S", folder, "-B", folder / "build", *definitions]
    return subprocess.run(command, capture_output=True, text=True)


def build(folder: Path) -> Path:
    subprocess.run(["cmake", "--build", folder / "build"], check=True, stdout=subprocess.PIPE)
    return folder / "build/minimal"


def bare_metal(example, core: str, **variables: object) -> dict[str, object]:
    """Variables of a project that builds the example for a core."""
    sources = f"{example.sources}/main.c;{example.sources}/board.c"
    return {
        "CMAKE_SYSTEM_NAME": "Generic",
        "CMAKE_C_COMPILER": COMPILER,
        "CMAKE_C_FLAGS": " ".join(FLAGS[core]),
        "CMAKE_EXE_LINKER_FLAGS": f"-nostartfiles --specs=nano.specs -T {example.sources}/link.ld",
        "CMAKE_TRY_COMPILE_TARGET_TYPE": "STATIC_LIBRARY",
        "SOURCES": sources,
        "HEADERS": example.model_header.parent,
        **variables,
    }


@needs_pkg_config
@pytest.mark.parametrize("form", ["shared", "static"])
def test_a_program_that_pkg_config_helps(installed: Path, example, console: Path, tmp_path: Path, form: str) -> None:
    program = tmp_path / "program"
    library = ["-Wl,-Bstatic"] if form == "static" else []
    flags = [*library, *package_flags(installed, "reds"), "-Wl,-Bdynamic"]
    sources = [example.sources / "main.c", console]
    subprocess.run(["gcc", "-o", program, *sources, f"-I{example.model_header.parent}", *flags], check=True)
    environment = {} if form == "static" else {"LD_LIBRARY_PATH": str(installed / "lib")}
    assert (
        subprocess.run([program], env=environment, check=True, stdout=subprocess.PIPE).stdout.decode() == example.output
    )


@needs_pkg_config
@needs_arm_compiler
@needs_qemu
def test_firmware_that_pkg_config_helps(installed: Path, example, tmp_path: Path) -> None:
    image = tmp_path / "image.elf"
    sources = [example.sources / "main.c", example.sources / "board.c", example.model_header.with_name("operations.c")]
    link = ["-nostartfiles", "--specs=nano.specs", "-Wl,--gc-sections", "-T", example.sources / "link.ld"]
    flags = [*FLAGS["cortex-m4"], f"-I{example.model_header.parent}", *package_flags(installed, "reds-cortex-m4")]
    subprocess.run([COMPILER, "-o", image, *sources, *link, *flags], check=True)
    assert run_image(image, "cortex-m4") == example.output


@needs_cmake
def test_a_program_that_cmake_builds(installed: Path, example, console: Path, tmp_path: Path) -> None:
    variables = {"SOURCES": f"{example.sources}/main.c;{console}", "HEADERS": example.model_header.parent}
    assert configure(tmp_path, installed, **variables).returncode == 0
    assert subprocess.run([build(tmp_path)], check=True, stdout=subprocess.PIPE).stdout.decode() == example.output


@needs_cmake
@needs_arm_compiler
@needs_qemu
@pytest.mark.parametrize(("core", "choice"), [("cortex-m4", "REDS_CORE"), ("cortex-m0plus", "CMAKE_SYSTEM_PROCESSOR")])
def test_firmware_that_cmake_builds(installed: Path, example, tmp_path: Path, core: str, choice: str) -> None:
    variables = bare_metal(example, core, **{choice: core}, COMPONENTS=f"COMPONENTS;{core}")
    assert configure(tmp_path, installed, **variables).returncode == 0
    assert run_image(build(tmp_path), core) == example.output


@needs_cmake
@needs_arm_compiler
@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({}, "REDS_CORE must be one of"),
        ({"REDS_CORE": "z80"}, "Received: 'z80'"),
        ({"REDS_CORE": "cortex-m4", "COMPONENTS": "COMPONENTS;z80"}, "There is no libreds for z80"),
    ],
)
def test_a_core_that_is_not_there(installed: Path, example, tmp_path: Path, variables: dict, sentence: str) -> None:
    said = configure(tmp_path, installed, **bare_metal(example, "cortex-m4", **variables))
    assert said.returncode != 0
    assert sentence in " ".join(said.stderr.split())


def test_a_relative_prefix_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "SCons", "-s", "install", "prefix=here"]
    said = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert said.returncode == 1
    assert "`prefix` must be an absolute path. Received: prefix=here" in said.stderr
