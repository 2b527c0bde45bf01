"""The source package compiles as Arduino, PlatformIO and Zephyr would compile it, and runs a model."""

import json
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from emulation import COMPILER, FLAGS, needs_arm_compiler, needs_qemu, run_image

ROOT = Path(__file__).parents[2]
PROPERTIES = ("name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures")
"""What the Arduino library specification requires."""
CATEGORIES = {
    "Display",
    "Communication",
    "Signal Input/Output",
    "Sensors",
    "Device Control",
    "Timing",
    "Data Storage",
    "Data Processing",
    "Other",
}
VERSION = re.compile(r"\d+\.\d+\.\d+")
ARDUINO_FLAGS = (
    *("-mthumb", "-std=gnu++14", "-Os", "-fno-rtti", "-fno-exceptions", "-fdata-sections", "-ffunction-sections"),
    *("-funsigned-char", "-fno-delete-null-pointer-checks", "-fomit-frame-pointer"),
)
"""What decides the code among the C++ flags of Arduino's mbed core."""
NANO_33_BLE = ("-mcpu=cortex-m4", "-mfloat-abi=softfp", "-mfpu=fpv4-sp-d16", *ARDUINO_FLAGS)
FLAGS_OF = {"cortex-m4": NANO_33_BLE, "cortex-m0plus": (*FLAGS["cortex-m0plus"], *ARDUINO_FLAGS)}
CORES = {
    "cortex-m0plus": ("-mcpu=cortex-m0plus",),
    "cortex-m3": ("-mcpu=cortex-m3",),
    "cortex-m4": ("-mcpu=cortex-m4", "-mfloat-abi=hard"),
    "cortex-m7": ("-mcpu=cortex-m7", "-mfloat-abi=hard"),
    "cortex-m33": ("-mcpu=cortex-m33", "-mfloat-abi=hard"),
    "cortex-m55": ("-mcpu=cortex-m55", "-mfloat-abi=hard"),
}
ARDUINO = """
#pragma once
#include <stddef.h>
#include <stdint.h>
struct Port {
  void begin(unsigned long);
  explicit operator bool();
  int available();
  long parseInt();
  template <typename T> void print(T);
  template <typename T> void println(T);
};
extern Port Serial;
unsigned long millis();
void delay(unsigned long);
"""
ZEPHYR = """
cmake_minimum_required(VERSION 3.20)
project(zephyr CXX)
set(CONFIG_REDS y)
set(CMAKE_CXX_STANDARD 14)
function(zephyr_include_directories)
  include_directories(${ARGN})
endfunction()
function(zephyr_library_named name)
  add_library(${name})
endfunction()
function(zephyr_library_sources)
  target_sources(reds PRIVATE ${ARGN})
endfunction()
function(zephyr_library_compile_definitions_ifdef feature)
  if(${feature})
    target_compile_definitions(reds PRIVATE ${ARGN})
  endif()
endfunction()
add_subdirectory(${MODULE}/zephyr module)
"""


@pytest.fixture(scope="module")
def package(scons: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked package."""
    scons("arduino")
    folder = tmp_path_factory.mktemp("package")
    with zipfile.ZipFile(ROOT / "build/reds-arduino.zip") as archive:
        archive.extractall(folder)
    return folder / "reds"


def sources(package: Path) -> list[Path]:
    return sorted((package / "src").rglob("*.cpp"))


def compile_all(package: Path, folder: Path, flags: tuple[str, ...]) -> list[Path]:
    """Compiles every source in its own right, with warnings as errors, and returns the objects."""
    strict = ["-Wall", "-Wextra", "-Werror", f"-I{package}/src"]
    objects = []
    for index, source in enumerate(sources(package)):
        objects.append(folder / f"{index}.o")
        command = [COMPILER.replace("gcc", "g++"), *flags, *strict, "-c", source, "-o", objects[-1]]
        subprocess.run(command, check=True)
    return objects


def test_arduino_metadata(package: Path) -> None:
    lines = (package / "library.properties").read_text().splitlines()
    properties = dict(line.split("=", 1) for line in lines)
    assert all(properties[field] for field in PROPERTIES)
    assert properties["category"] in CATEGORIES
    assert VERSION.fullmatch(properties["version"])
    assert (package / "src" / properties["includes"]).is_file()


def test_platformio_metadata(package: Path) -> None:
    manifest = json.loads((package / "library.json").read_text())
    assert re.fullmatch(r"[a-z\d-]+", manifest["name"])
    assert VERSION.fullmatch(manifest["version"])
    assert manifest["description"] and manifest["keywords"]
    assert (package / manifest["build"]["srcDir"] / manifest["headers"]).is_file()
    for example in manifest["examples"]:
        assert all((package / example["base"] / file).is_file() for file in example["files"])


def test_headers_of_flatbuffers_come_with_their_licence(package: Path) -> None:
    licence = (package / "src/flatbuffers/LICENSE").read_text()
    assert "Apache License" in licence and "Version 2.0" in licence


@needs_arm_compiler
@needs_qemu
@pytest.mark.parametrize("core", FLAGS_OF)
def test_its_sources_run_a_model(package: Path, example, tmp_path: Path, core: str) -> None:
    objects = compile_all(package, tmp_path, FLAGS_OF[core])
    flags = [flag for flag in FLAGS_OF[core] if flag.startswith("-m")]
    image = tmp_path / "image.elf"
    link = ["-nostartfiles", "--specs=nano.specs", "-T", example.sources / "link.ld"]
    headers = [f"-I{package}/src", f"-I{package}/examples/BudgetSwitch"]
    operations = package / "examples/BudgetSwitch/operations.c"
    firmware = [example.sources / "main.c", example.sources / "board.c", operations]
    subprocess.run([COMPILER, *flags, *headers, *firmware, *objects, *link, "-o", image], check=True)
    assert run_image(image, core) == example.output


@needs_arm_compiler
def test_the_sketch_compiles(package: Path, tmp_path: Path) -> None:
    (tmp_path / "Arduino.h").write_text(ARDUINO)
    sketch = package / "examples/BudgetSwitch/BudgetSwitch.ino"
    command = [COMPILER.replace("gcc", "g++"), *NANO_33_BLE, "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    includes = [f"-I{package}/src", "-include", tmp_path / "Arduino.h"]
    subprocess.run([*command, *includes, "-x", "c++", sketch], check=True)


@needs_arm_compiler
def test_the_compiler_chooses_the_kernels_that_scons_chooses(package: Path, scons: Callable[..., str]) -> None:
    tree = scons("--tree=all", *(f"build/{core}/libreds.a" for core in CORES))
    by_core = dict(zip(CORES, re.split(r"^\+-build/[\w-]+/libreds\.a$", tree, flags=re.MULTILINE)[1:], strict=True))
    for core, flags in CORES.items():
        by_scons = set(re.findall(r"\+-device/kernels/(\w+/\w+)\.cc$", by_core[core], flags=re.MULTILINE))
        assert by_scons
        assert chosen_kernels(package, flags) == by_scons, core


def chosen_kernels(package: Path, flags: tuple[str, ...]) -> set[str]:
    """The kernels whose condition the compiler finds true, as `folder/name`."""
    kernels = {
        str(file.relative_to(package / "src/kernels").with_suffix("")): file.read_text().partition("\n")[0]
        for file in (package / "src/kernels").rglob("*.cpp")
    }
    text = "".join(f"{condition}\nchosen {name}\n#endif\n" for name, condition in kernels.items())
    command = [COMPILER, *flags, "-E", "-P", "-x", "c", "-"]
    said = subprocess.run(command, input=text, check=True, stdout=subprocess.PIPE, text=True).stdout
    return set(re.findall(r"chosen (\S+)", said))


def test_zephyr_metadata(package: Path) -> None:
    module = (package / "zephyr/module.yml").read_text()
    named = dict(re.findall(r"^\s*(\w+): (\S+)$", module, flags=re.MULTILINE))
    assert named["name"] == "reds"
    assert (package / named["cmake"] / "CMakeLists.txt").is_file()
    assert "config REDS\n" in (package / named["kconfig"]).read_text()


@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs `cmake`")
def test_zephyr_module_builds_for_this_machine(package: Path, tmp_path: Path) -> None:
    (tmp_path / "CMakeLists.txt").write_text(ZEPHYR)
    build = tmp_path / "build"
    configure = ["cmake", "-S", tmp_path, "-B", build, f"-DMODULE={package}"]
    for command in (configure, ["cmake", "--build", build]):
        subprocess.run(command, check=True, stdout=subprocess.PIPE)
    symbols = subprocess.run(["nm", build / "module/libreds.a"], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert re.search(r" T reds_open$", symbols, flags=re.MULTILINE)
