"""The cases of the comparison with TFLite Micro: every operation, every prefix, and differences are found."""

import json
from dataclasses import replace
from itertools import count
from pathlib import Path

import bit_exact
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as tflite
from foreign_models import FOREIGN
from layer_drawing import Draw

from reds.adopting.operators import OPERATORS
from reds.adopting.tflite_graph import BUILTIN_NAMES
from reds.errors import UsageError

READ_AS_ANOTHER = {tflite.BuiltinOperator.PADV2}


def test_every_operation_is_compared() -> None:
    drawn = {name.split(" (")[0] for name in bit_exact.COMPARED}
    assert drawn == {BUILTIN_NAMES[code] for code in OPERATORS.keys() - READ_AS_ANOTHER}


@pytest.mark.parametrize("operation", bit_exact.COMPARED)
def test_libreds_is_tflite_micro(operation: str) -> None:
    for number in range(3):
        prefixes, different = bit_exact.compare(operation, number)
        assert prefixes == 1 if operation in FOREIGN else prefixes >= 2
        assert different == []


@pytest.mark.parametrize("operation", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD"])
def test_a_difference_is_found(operation: str) -> None:
    """Of one in a hundred in a scale, in nearly every case; the same case comes back each time."""
    noticed = [
        any(
            not np.array_equal(ours, theirs)
            for ours, theirs in zip(
                bit_exact.libreds_outputs(case), bit_exact.tflite_micro_outputs(rescaled(case)), strict=True
            )
        )
        for case in (bit_exact.case_of(operation, number) for number in range(10))
    ]
    assert sum(noticed) >= 6


def rescaled(case: bit_exact.Case) -> bit_exact.Case:
    def change(step):
        output = step.output_quantization
        return replace(step, output_quantization=replace(output, scale=np.float32(output.scale * 1.01)))

    return replace(case, network=bit_exact._changed(case.network, case.target, change))


@pytest.mark.parametrize("operation", ["CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED"])
def test_every_prefix_occurs(operation: str) -> None:
    case = next(
        case
        for case in (bit_exact.case_of(operation, number) for number in count())
        if min(case.network.layers[case.target].input_shape[2], case.network.layers[case.target].output_shape[2]) > 2
    )
    layer = case.network.layers[case.target]
    steps = [one.steps[case.target] for one in case.network.subnetworks]
    assert {step.input_channels for step in steps} == set(range(1, layer.input_shape[2] + 1))
    assert {step.output_channels for step in steps} == set(range(1, layer.output_shape[2] + 1))


def test_paths_reach_every_size() -> None:
    for seed in range(20):
        for sizes in ((1, 5), (4, 3, 7), (6,)):
            columns = zip(*bit_exact.paths(Draw(seed), *sizes), strict=True)
            assert [set(column) for column in columns] == [set(range(1, size + 1)) for size in sizes]


def test_what_libreds_does_not_open_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what the emitter refuses is left out."""

    def refuse(*arguments: object, **options: object) -> None:
        raise UsageError("refused")

    tally = bit_exact.Tally()
    with monkeypatch.context() as patched:
        patched.setattr(bit_exact, "encode", refuse)
        bit_exact.run("ADD", tally, 2, [])
    assert (tally.cases, tally.refused) == (0, 2)
    monkeypatch.setattr(bit_exact, "Runtime", refuse)
    with pytest.raises(UsageError):
        bit_exact.run("ADD", tally, 1, [])


def test_a_record_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cases and then three more are the first five."""
    record = tmp_path / "record.json"
    options = ["--operations", "PAD,CONV_2D (groups)", "--record", str(record)]
    for cases in (2, 5):
        bit_exact.main(["--cases", str(cases), *options])
    twice = json.loads(record.read_text())["operations"]
    record.unlink()
    bit_exact.main(["--cases", "5", *options])
    once = json.loads(record.read_text())["operations"]
    assert [{**tally, "seconds": 0} for tally in twice.values()] == [{**tally, "seconds": 0} for tally in once.values()]
    assert twice["PAD"]["cases"] == twice["CONV_2D (groups)"]["cases"] == 5
    assert twice["ADD"]["cases"] == 0
