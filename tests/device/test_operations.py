"""A program that lists its operations links these and no others, and is told where a model needs more."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from model_builder import LayerSpec, NetworkBuilder

from reds.compiled import ElementType
from reds.emitting import encode, write_operations
from reds.emitting.operations import operation_name
from reds.graph import Activation, Conv2D, Pool2D
from reds.schema import reds_generated as schema

ROOT = Path(__file__).parents[2]
HEADERS = f"-I{ROOT / 'device/include'}"
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
NAME = re.compile(r"\breds_\w+_(?:int8|int16|float32)\b")
OPENS = """
#include <stdio.h>
#include <stdlib.h>
#include "reds/reds.h"

int main(int count, char** paths) {
  void* const arena = aligned_alloc(REDS_ALIGNMENT, 1 << 16);
  for (int i = 1; i < count; ++i) {
    FILE* const file = fopen(paths[i], "rb");
    void* const model = aligned_alloc(REDS_ALIGNMENT, 1 << 16);
    const size_t size = fread(model, 1, 1 << 16, file);
    const reds_config config = {.model = model, .model_bytes = size, .arena = arena, .arena_bytes = 1 << 16};
    static reds_context network;
    const reds_status status = reds_open(&network, &config);
    if (status == REDS_OK) reds_invoke(&network);
    printf("%s\\n", reds_status_text(status));
    fclose(file);
  }
}
"""
WITHOUT = {
    schema.ElementType.Int8: set(),
    schema.ElementType.Int16: {
        schema.Operation.LeakyRelu,
        schema.Operation.Logistic,
        schema.Operation.Tanh,
        schema.Operation.HardSwish,
        schema.Operation.Mul,
        schema.Operation.Sub,
        schema.Operation.PRelu,
        schema.Operation.TransposeConv,
        schema.Operation.Transpose,
        schema.Operation.BatchMatMul,
    },
    schema.ElementType.Float32: {
        schema.Operation.Requantize,
        schema.Operation.Quantize,
        schema.Operation.Dequantize,
    },
}
"""Operations that there are not in a type."""

SOFTMAX = LayerSpec(Activation("softmax"))
MODELS = {
    "full": (LayerSpec(Conv2D((3, 3)), 4), LayerSpec(Pool2D("max", (2, 2), (2, 2))), SOFTMAX),
    "less": (SOFTMAX,),
    "groups": (LayerSpec(Conv2D((3, 3), groups=2), 4), SOFTMAX),
    "average": (LayerSpec(Pool2D("average", (2, 2), (2, 2))), SOFTMAX),
}


@pytest.fixture(scope="module")
def library() -> Path:
    scons = Path(sys.executable).with_name("scons")
    subprocess.run([scons, "-s", "build/x86/libreds.a"], cwd=ROOT, check=True, capture_output=True)
    return ROOT / "build/x86/libreds.a"


def write_model(path: Path, name: str, element_type: ElementType = ElementType.INT8) -> Path:
    path.write_bytes(encode(NetworkBuilder(element_type, (6, 6, 2), seed=5).build(MODELS[name])))
    return path


@pytest.mark.parametrize("element_type", ElementType)
@pytest.mark.parametrize("language", ["c", "c++"])
def test_only_the_listed_operations_are_linked(
    library: Path, tmp_path: Path, element_type: ElementType, language: str
) -> None:
    model = write_model(tmp_path / "model.tflite", "full", element_type)
    operations, opens = tmp_path / "operations.c", tmp_path / "opens.c"
    write_operations(model, operations)
    opens.write_text(OPENS)
    listed, program = tmp_path / "operations.o", tmp_path / "program"
    subprocess.run(["gcc", "-x", language, *STRICT, HEADERS, "-c", operations, "-o", listed], check=True)
    subprocess.run(["gcc", HEADERS, opens, listed, library, "-Wl,--gc-sections", "-o", program], check=True)

    symbols = subprocess.run(["nm", "-C", program], check=True, capture_output=True, text=True).stdout
    element = {ElementType.INT8: "signed char", ElementType.INT16: "short", ElementType.FLOAT32: "float"}[element_type]
    kernels = set(re.findall(r" T (reds::Run\w*)\(reds::(\w+<.+>|\w+) const&\)$", symbols, re.MULTILINE))
    assert kernels == {
        ("reds::Run", f"Conv2D<{element}>"),
        ("reds::Run", f"Softmax<{element}>"),
        ("reds::RunMaximum", f"Pool2D<{element}>"),
    }

    others = [write_model(tmp_path / f"{name}.tflite", name, element_type) for name in MODELS]
    answers = subprocess.run([program, *others], check=True, capture_output=True, text=True).stdout.splitlines()
    missing = "an operation of the model is not linked"
    assert answers == ["no error", "no error", missing, missing]


def test_every_operation_has_a_name_and_is_in_the_list_of_all() -> None:
    operations = [value for value in vars(schema.Operation).values() if isinstance(value, int)]
    grouped = [(schema.Operation.Conv2D, True)]
    names = {
        operation_name(operation, element_type, has_groups)
        for element_type, without in WITHOUT.items()
        for operation, has_groups in [*((operation, False) for operation in operations), *grouped]
        if operation not in without
    }
    for file in ("device/include/reds/operations.h", "device/src/operations.cc"):
        assert set(NAME.findall((ROOT / file).read_text(encoding="utf-8"))) == names, file
