"""The footprint's arithmetic and its judgement; .ci/run compares the numbers themselves."""

import importlib.util
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType

import pytest

from reds.errors import UsageError, VerificationError

SCRIPT = Path(__file__).parents[2] / "bench/experiments/footprint.py"

KERNEL = r"""graph: { title: "device/kernels/portable/conv.cc"
node: { title: "conv.cc:inner" label: "void inner()\nconv.cc:1:6\n24 bytes (static)\n0 dynamic objects" }
node: { title: "conv.cc:other" label: "void other()\nconv.cc:9:6\n8 bytes (static)\n0 dynamic objects" }
node: { title: "memset" label: "__builtin_memset\n<built-in>" shape : ellipse }
node: { title: "Run" label: "void Run()\nconv.cc:4:6\n40 bytes (static)\n0 dynamic objects" }
edge: { sourcename: "Run" targetname: "conv.cc:inner" label: "conv.cc:5:1" }
edge: { sourcename: "Run" targetname: "conv.cc:other" label: "conv.cc:6:1" }
edge: { sourcename: "Run" targetname: "memset" label: "conv.cc:6:1" }
}
"""
ENTRY = r"""graph: { title: "device/src/run.cc"
node: { title: "invoke" label: "void invoke()\nrun.cc:1:6\n16 bytes (static)\n0 dynamic objects" }
edge: { sourcename: "invoke" targetname: "Run" label: "run.cc:2:1" }
}
"""
POINTERS = r"""graph: { title: "device/src/run.cc"
node: { title: "run.cc:first" label: "void first()\nrun.cc:1:6\n24 bytes (static)\n0 dynamic objects" }
node: { title: "run.cc:second" label: "void second()\nrun.cc:2:6\n64 bytes (static)\n0 dynamic objects" }
node: { title: "run.cc:named" label: "void named()\nrun.cc:3:6\n128 bytes (static)\n0 dynamic objects" }
node: { title: "step" label: "void step()\nrun.cc:4:6\n16 bytes (static)\n0 dynamic objects" }
node: { title: "invoke" label: "void invoke()\nrun.cc:5:6\n16 bytes (static)\n0 dynamic objects" }
node: { title: "__indirect_call" label: "Indirect Call Placeholder" shape : ellipse }
edge: { sourcename: "step" targetname: "__indirect_call" label: "run.cc:6:1" }
edge: { sourcename: "invoke" targetname: "step" label: "run.cc:7:1" }
edge: { sourcename: "invoke" targetname: "run.cc:named" label: "run.cc:8:1" }
}
"""


@pytest.fixture(scope="module")
def footprint() -> ModuleType:
    spec = importlib.util.spec_from_file_location("footprint", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["footprint"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def record(footprint: ModuleType):
    return footprint.Footprint("gcc 12", {"code B": 1000, "stack B": 100, "context B": 80})


def test_the_deepest_chain_of_calls(footprint: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "conv.ci").write_text(KERNEL)
    (tmp_path / "run.ci").write_text(ENTRY)
    calls = footprint.CallGraph([tmp_path / "conv.o", tmp_path / "run.o"])
    assert calls.depth("conv.cc:inner") == 24
    assert calls.depth_of_file("conv") == 40 + 24
    assert calls.depth("invoke") == 16 + 40 + 24


def test_a_call_through_a_pointer(footprint: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "run.ci").write_text(POINTERS)
    calls = footprint.CallGraph([tmp_path / "run.o"])
    assert calls.depth("step") == 16 + 64
    assert calls.depth("invoke") == 16 + 128


def test_a_stack_of_unknown_size_is_refused(footprint: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "run.ci").write_text(ENTRY.replace("(static)", "(dynamic)"))
    with pytest.raises(UsageError, match="must be of fixed size"):
        footprint.CallGraph([tmp_path / "run.o"])


@pytest.mark.parametrize(("code", "verdict"), [(1020, "+2.0%"), (900, "-10.0%")])
def test_a_little_worse_or_better_passes(
    footprint: ModuleType, record, capsys: pytest.CaptureFixture[str], code: int, verdict: str
) -> None:
    footprint.check(record, replace(record, costs={**record.costs, "code B": code}))
    said = capsys.readouterr().out
    assert verdict in said
    assert "2 of 3 numbers are as recorded" in said


def test_more_than_the_tolerance_fails(footprint: ModuleType, record, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(VerificationError, match="more than 2% worse"):
        footprint.check(record, replace(record, costs={**record.costs, "code B": 1021}))
    assert "worse" in capsys.readouterr().out


def test_the_exit_code_says_that_it_is_worse(
    footprint: ModuleType, record, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "record.json").write_text(json.dumps(asdict(record)))
    monkeypatch.setattr(footprint, "RECORD", tmp_path / "record.json")
    monkeypatch.setattr(footprint, "measure", lambda: replace(record, costs={"code B": 2000}))
    monkeypatch.setattr(sys, "argv", ["footprint.py", "--check"])
    with pytest.raises(SystemExit) as ended:
        footprint.main()
    assert ended.value.code == 3


def test_another_compiler_is_not_judged(footprint: ModuleType, record, capsys: pytest.CaptureFixture[str]) -> None:
    footprint.check(record, footprint.Footprint("gcc 13", {"code B": 2000}))
    assert "not judged" in capsys.readouterr().out


def test_what_is_new_or_gone_is_said_and_not_judged(
    footprint: ModuleType, record, capsys: pytest.CaptureFixture[str]
) -> None:
    footprint.check(record, footprint.Footprint(record.compiler, {"code B": 1000, "stack B": 100, "new B": 5}))
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith(("new B", "context B")) for line in lines) == 2


def test_the_record_covers_every_core_and_is_in_the_documentation(footprint: ModuleType) -> None:
    record = footprint.Footprint(**json.loads(footprint.RECORD.read_text(encoding="utf-8")))
    text = footprint.PAGE.read_text(encoding="utf-8")
    assert footprint.PAGE_TABLE.search(text)
    assert footprint.page(text, record) == text
    for core in footprint.CORES:
        assert record.costs[f"{core} int8 text B"] < record.costs[f"{core} all text B"]
        assert record.costs[f"{core} stack of reds_invoke B"] > record.costs[f"{core} stack of softmax_int8 B"]
        assert record.costs[f"{core} ds_cnn_s alone B"] < record.costs[f"{core} int8 text B"]
