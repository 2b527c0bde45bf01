"""What commands print and write when all is well."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from converted_models import converted

from reds.baselines import Baseline
from reds.cli import output
from reds.emitting import extract
from reds.graph import Family
from reds.runtime import Runtime
from reds.store import load
from reds_bench.rp2040 import EMULATOR, EMULATOR_PACKAGE, NODE

needs_rp2040js = pytest.mark.skipif(
    shutil.which(NODE) is None or not EMULATOR_PACKAGE.is_dir(), reason=f"needs Node and `npm ci --prefix {EMULATOR}`"
)
needs_qemu = pytest.mark.skipif(
    shutil.which("qemu-system-arm") is None, reason="qemu-system-arm is missing; install that package"
)


def test_inspect_json(reds: Any, model: Path) -> None:
    report = reds("inspect", model, "--json").json
    full, *others = report["subnetworks"]
    assert [row["id"] for row in report["subnetworks"]] == [0, 1, 2, 3]
    assert set(full) >= {
        *("id", "name", "exit", "macs", "parameters", "flash_bytes", "arena_bytes", "accuracy", "targets")
    }
    assert full["macs"] > others[0]["macs"] > others[1]["macs"]
    assert all(0 <= row["accuracy"] <= 1 for row in report["subnetworks"])


def test_inspect_shows_every_subnetwork(reds: Any, model: Path) -> None:
    answer = reds("inspect", model)
    assert (answer.code, answer.err) == (0, "")
    assert all(name in answer.out for name in ("100%", "60%", "30%", "exit_depthwise"))


def test_solve_json(reds: Any, keras_file: Path) -> None:
    answer = reds("solve", keras_file, "--budgets", "0.5,2000", "--json")
    assert answer.code == 0
    result = answer.json
    assert set(result) >= {"budgets", "seconds", "peak_memory_bytes"}
    for one in result["budgets"]:
        assert set(one) >= {"budget", "value", "bound", "gap", "widths", "macs", "arena_bytes"}
        assert one["macs"] <= one["budget"]


def test_solve_within_limits_and_jointly(reds: Any, keras_file: Path) -> None:
    answer = reds(
        *("solve", keras_file, "--budgets", "0.8,0.9", "--metric", "cycles:cortex-m4", "--order", "joint", "--json"),
        *("--limit", "flash=0.8", "--limit", "arena=0.9", "--kernels", "--minimum", 2),
    )
    assert answer.code == 0, answer.err
    result = answer.json
    assert result["joint"]["gap"] <= 1e-4
    for one in result["budgets"]:
        assert one["metric"] == "cycles:cortex-m4"
        assert one["cost"] <= one["budget"]
        assert one["flash_bytes"] <= one["limits"]["flash"]
        assert one["arena_bytes"] <= one["limits"]["arena"]
        assert min(one["widths"]) >= 2
    table = reds("solve", keras_file, "--order", "joint")
    assert "together" in table.out and "25%" in table.out


def test_solve_uses_the_importance_of_a_run_again(reds: Any, run_folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("reds.ranking.rank", None)
    result = reds("solve", run_folder, "--budgets", "0.6,0.3", "--multiple", 2, "--json").json
    family = load(run_folder / "family.npz", Family)
    searched = [one for one in family.subnetworks if one.solution is not None]
    assert [tuple(one["widths"]) for one in result["budgets"]] == [one.widths for one in searched[::-1]]


def test_calibrate_writes_a_table_for_solve(reds: Any, keras_file: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("reds.calibrating.ROUNDS", 1)
    monkeypatch.setattr("reds.calibrating.SUBNETWORKS", 8)
    path = tmp_path / "core.json"
    answer = reds("calibrate", "--board", "qemu:cortex-m3", "-o", path)
    assert answer.code == 0, answer.err
    assert "pointwise" in answer.out
    result = reds("solve", keras_file, "--metric", f"cycles:{path}", "--budgets", 0.8, "--json").json
    assert all(one["cost"] <= one["budget"] for one in result["budgets"])


def test_run_json_and_output(reds: Any, model: Path, inputs: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "y.npy"
    answer = reds("run", model, "--input", inputs, "--subnetwork", 1, "-o", output, "--json")
    assert answer.code == 0
    runtime = Runtime(model)
    runtime.select(1)
    expected = runtime.invoke(np.load(inputs))
    np.testing.assert_array_equal(np.load(output), expected)
    assert answer.json == {
        "subnetwork": 1,
        "instructions": None,
        "switch_instructions": None,
        "arena_bytes": runtime.subnetworks[1].arena_bytes,
        "outputs_sha256": hashlib.sha256(expected.tobytes()).hexdigest(),
    }


@needs_qemu
def test_one_input_alone_is_a_batch_of_one_on_every_board(reds: Any, model: Path, inputs: Path, tmp_path: Path) -> None:
    one = tmp_path / "one.npy"
    np.save(one, np.load(inputs)[0])
    here = reds("run", model, "--input", one, "--json").json
    board = reds("run", model, "--input", one, "--board", "qemu:cortex-m4", "--json").json
    assert board["outputs_sha256"] == here["outputs_sha256"]
    assert board["instructions"] > board["switch_instructions"] > 0


@needs_qemu
def test_inputs_of_a_model_that_takes_several_at_once(reds: Any, tmp_path: Path) -> None:
    """A file holds samples, whatever the batch; a part of a batch is none."""
    foreign, path, inputs, outputs = (tmp_path / name for name in ("foreign", "adopted", "x.npy", "y.npy"))
    foreign.write_bytes(converted("excited", "int8", batch=3))
    assert reds("adopt", foreign, "-o", path).code == 0
    assert reds("inspect", path, "--json").json["input_shape"] == [3, 9, 7, 3]
    samples = np.random.default_rng(0).integers(-128, 128, (6, 9, 7, 3), np.int8)
    np.save(inputs, samples)
    here = reds("run", path, "--input", inputs, "-o", outputs, "--json").json
    expected = Runtime(path).invoke(samples.reshape(2, 3, 9, 7, 3)).reshape(6, 5)
    np.testing.assert_array_equal(np.load(outputs), expected)
    board = reds("run", path, "--input", inputs, "--board", "qemu:cortex-m4", "--json").json
    assert board["outputs_sha256"] == here["outputs_sha256"]
    np.save(inputs, samples[:4])
    answer = reds("run", path, "--input", inputs)
    assert (answer.code, "takes 3 at a time" in answer.err) == (1, True)


@needs_rp2040js
def test_a_board_that_counts_cycles_says_so(reds: Any, model: Path, inputs: Path, tmp_path: Path) -> None:
    one, copy = tmp_path / "one.npy", tmp_path / "copy.tflite"
    np.save(one, np.load(inputs)[0])
    copy.write_bytes(model.read_bytes())
    board = reds("run", copy, "--input", one, "--board", "rp2040js", "--json").json
    assert board["outputs_sha256"] == reds("run", copy, "--input", one, "--json").json["outputs_sha256"]
    assert board["cycles"] > board["switch_cycles"] > 0
    assert not {"instructions", "switch_instructions"} & set(board)
    assert reds("verify", copy, "--samples", 1, "--board", "rp2040js", "--json").json["passed"]
    benched = reds("bench", copy, "--board", "rp2040js", "--input", one, "--record", "--json").json
    assert benched["subnetworks"][0]["cycles"] == pytest.approx(board["cycles"], abs=100)
    inspected = reds("inspect", copy, "--target", "rp2040", "--json").json["subnetworks"][0]["targets"]["rp2040"]
    assert (inspected["instructions"], inspected["unit"]) == (benched["subnetworks"][0]["cycles"], "cycles")
    assert "cycles" in reds("inspect", copy).out


def test_thresholds_are_written_into_the_file(reds: Any, model: Path, tmp_path: Path, pictures: str) -> None:
    path = tmp_path / "model.tflite"
    shutil.copy(model, path)
    cascade = reds("thresholds", path, "--data", pictures, "--loss", 0.5, "--json").json
    assert cascade["alone"] == 0
    assert cascade["accuracy"] >= cascade["alone_accuracy"] - 0.5
    assert cascade["mean_cost"] <= cascade["alone_cost"]
    inspected = reds("inspect", path, "--json").json["subnetworks"]
    assert all(inspected[stop["subnetwork"]]["threshold"] == stop["threshold"] for stop in cascade["stops"][:-1])
    answer = reds("thresholds", path, "--data", pictures, "--board", "qemu:cortex-m4")
    assert (answer.code, answer.err) == (0, "")
    assert all(word in answer.out for word in ("stop there", "instructions", "on average"))


def test_extract(reds: Any, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "one.tflite"
    assert reds("extract", model, "--subnetwork", 2, "-o", path).code == 0
    assert path.read_bytes() == extract(model, 2)


def test_emit_some_subnetworks_of_a_run_and_of_a_file(reds: Any, run_folder: Path, model: Path, tmp_path: Path) -> None:
    names = [row["name"] for row in reds("inspect", model, "--json").json["subnetworks"]]
    of_run, of_file = tmp_path / "run.tflite", tmp_path / "file.tflite"
    assert reds("emit", run_folder, "--only", "2,3", "-o", of_run).code == 0
    assert reds("emit", model, "--only", "3,2", "-o", of_file).code == 0
    for path in (of_run, of_file):
        report = reds("inspect", path, "--json").json
        assert [row["name"] for row in report["subnetworks"]] == [names[2], names[3]]
        assert path.stat().st_size < model.stat().st_size
    assert reds("verify", of_file, "--samples", 5).code == 0


def test_emit_says_what_only_takes(reds: Any, run_folder: Path, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "part.tflite"
    assert "from 0 to 3" in reds("emit", run_folder, "--only", "4", "-o", path).sentence
    assert "--only" in reds("emit", model, "-o", path).sentence
    assert "--type" in reds("emit", model, "--only", "1", "--type", "int8", "-o", path).sentence
    assert "from 0 to 3" in reds("emit", model, "--only", "4", "-o", path).sentence
    assert not path.exists()


def test_emit_again_in_float32_and_as_c(reds: Any, run_folder: Path, model: Path, tmp_path: Path) -> None:
    path, header, operations = (tmp_path / name for name in ("float.tflite", "model.h", "operations.c"))
    answer = reds("emit", run_folder, "-o", path, "--type", "float32", "--c-array", header, "--operations", operations)
    assert answer.code == 0
    assert all(file.name in answer.out for file in (path, header, operations))
    assert "&reds_fully_connected_float32," in operations.read_text()
    assert [info.macs for info in Runtime(path).subnetworks] == [info.macs for info in Runtime(model).subnetworks]
    subprocess.run(["g++", "-fsyntax-only", "-x", "c++", header], check=True)


def test_adopt(reds: Any, foreign: Path, inputs: Path, model: Path, tmp_path: Path) -> None:
    path, header = tmp_path / "adopted.tflite", tmp_path / "adopted.h"
    report = reds("adopt", foreign, "-o", path, "--c-array", header, "--json").json
    assert report == reds("inspect", path, "--json").json
    answers = [reds("run", file, "--input", inputs, "--subnetwork", 0, "--json").json for file in (path, model)]
    assert answers[0]["outputs_sha256"] == answers[1]["outputs_sha256"]
    assert f"[{path.stat().st_size}]" in header.read_text()


def test_adopt_shows_the_table(reds: Any, foreign: Path, tmp_path: Path) -> None:
    answer = reds("adopt", foreign, "-o", tmp_path / "adopted.tflite", "--c-array", tmp_path / "adopted.h")
    assert (answer.code, answer.err) == (0, "")
    assert all(word in answer.out for word in ("adopted.tflite", "adopted.h", "100%"))


def test_adopt_and_prune_without_data(reds: Any, foreign: Path, tmp_path: Path) -> None:
    path = tmp_path / "pruned.tflite"
    report = reds(
        "adopt", foreign, "-o", path, "--prune", "--budgets", "0.5,0.75", "--multiple", 1, "--json"
    ).json  # fmt: skip
    assert report == reds("inspect", path, "--json").json
    macs = [row["macs"] for row in report["subnetworks"]]
    assert macs[0] > macs[1] > macs[2]
    assert macs[2] <= 0.5 * macs[0]
    assert reds("verify", path, "--samples", 2, "--json").json["passed"]


def test_adopt_and_prune_with_samples(reds: Any, foreign: Path, inputs: Path, tmp_path: Path) -> None:
    path = tmp_path / "pruned.tflite"
    arguments = ("adopt", foreign, "-o", path, "--prune", "--budgets", "0.5", "--multiple", 1)
    assert reds(*arguments, "--samples", inputs).code == 0
    with_samples = path.read_bytes()
    assert reds(*arguments).code == 0
    assert path.read_bytes() != with_samples


@needs_qemu
def test_an_adopted_file_on_a_board(reds: Any, foreign: Path, tmp_path: Path) -> None:
    path = tmp_path / "adopted.tflite"
    reds("adopt", foreign, "-o", path)
    report = reds("verify", path, "--samples", 2, "--board", "qemu:cortex-m4", "--json").json
    assert report["passed"]
    assert {check["proof"] for check in report["checks"]} == {2, 3, 4, 5}


def test_real_inputs_and_outputs_of_integers_on_a_board(reds: Any, tmp_path: Path) -> None:
    """What the converter makes by default."""
    foreign, path, x, y = (tmp_path / name for name in ("foreign.tflite", "adopted.tflite", "x.npy", "y.npy"))
    foreign.write_bytes(converted("vectors", "int8 of float32"))
    report = reds("adopt", foreign, "-o", path, "--json").json
    assert (report["element_type"], report["input_type"], report["output_type"]) == ("int8", "float32", "float32")
    assert "int8 from float32 to float32" in reds("inspect", path).out
    np.save(x, np.zeros((2, 30), np.float32))
    assert reds("run", path, "--input", x, "--board", "x86", "-o", y).code == 0
    assert (np.load(y).dtype, np.load(y).shape) == (np.float32, (2, 1))
    assert reds("verify", path, "--samples", 3, "--board", "x86", "--json").json["passed"]
    assert len(reds("bench", path, "--board", "x86", "--json").json["subnetworks"]) == 1
    np.save(x, np.zeros((2, 30), np.int8))
    assert "must hold float32 inputs" in reds("run", path, "--input", x).sentence


def test_verify_json(reds: Any, model: Path, inputs: Path) -> None:
    report = reds("verify", model, "--input", inputs, "--json").json
    assert report["passed"]
    assert {check["proof"] for check in report["checks"]} == {2, 3, 5}


def test_bench_on_the_board_in_this_process(reds: Any, model: Path, inputs: Path) -> None:
    report = reds("bench", model, "--board", "x86", "--input", inputs, "--json").json
    assert [row["id"] for row in report["subnetworks"]] == [0, 1, 2, 3]
    assert report["stats"]["subnetworks"] == 4


def test_prune_writes_the_run_and_says_what_comes_next(
    reds: Any, keras_file: Path, pictures: str, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    options = ("--budgets", "0.5", "--epochs", "0", "--importance", "l1")
    answer = reds("prune", keras_file, "--data", pictures, *options, "--out", folder)
    assert answer.code == 0
    assert "reds verify" in answer.out
    assert {"model.tflite", "table.json", "settings.json"} <= {path.name for path in folder.iterdir()}


def test_prune_searches_width_and_depth_together(reds: Any, keras_file: Path, pictures: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    options = ("--budgets", "0.6,0.9", "--epochs", "0", "--exit-epochs", "1", "--importance", "l1", "--guard", "0.5")
    exits = ("--joint", "--keep-all", "--exits", "conv", "--head", "compact", "--exit-training", "joint")
    answer = reds("prune", keras_file, "--data", pictures, *options, *exits, "--out", folder, "--json")
    assert answer.code == 0, answer.err
    rows = answer.json["subnetworks"]
    assert {row["exit"] for row in rows} == {"output", "exit_conv"}
    assert all(row["macs"] <= 0.9 * rows[0]["macs"] for row in rows[1:])
    assert reds("verify", folder / "model.tflite", "--samples", 5).code == 0
    assert reds("baseline", "uniform", "--run", folder, "--json").code == 0
    shown = reds("baseline", "sparse", "--run", folder)
    assert all(f"{row['parameters']:,} not zero" in shown.out for row in rows[1:]), shown.err


def test_a_baseline_is_printed_and_kept_in_the_run(reds: Any, run_folder: Path, pictures: str, tmp_path: Path) -> None:
    run = Path(shutil.copytree(run_folder, tmp_path / "run"))
    answer = reds("baseline", "uniform", "--run", run, "--seeds", "0,1", "--json")
    assert answer.code == 0
    assert (answer.json["kind"], answer.json["seeds"]) == ("uniform", [0, 1])
    assert answer.json == json.loads((run / "baselines" / "uniform" / "table.json").read_text())
    shown = reds("baseline", "uniform", "--run", run, "--seeds", "0,1")
    assert all(row["name"] in shown.out for row in answer.json["subnetworks"])


def test_families_are_made_by_one_command_and_shown_in_the_report(
    reds: Any, run_folder: Path, pictures: str, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(run_folder, tmp_path / "run"))
    answer = reds("baseline", "width,width_labels", "--run", run, "--json")
    assert answer.code == 0, answer.err
    assert [table["kind"] for table in answer.json] == ["width", "width_labels"]
    assert all(f"{kind}, seed 0: 1 epochs" in answer.err for kind in ("width", "width_labels"))
    assert reds("report", run).code == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Width, no distillation" in page
    for table in answer.json:
        assert all(f"{row['macs']:,}" in page for row in table["subnetworks"])


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        ("uniform", ["uniform"]),
        ("all", ["alone", "uniform", "magnitude", "random", "sparse", "from_scratch"]),
        ("families", ["width", "depth", "joint", "width_labels", "depth_labels", "joint_labels"]),
        ("width,random,width", ["width", "random"]),
    ],
)
def test_words_for_kinds_of_baselines(
    reds: Any, run_folder: Path, pictures: str, monkeypatch: pytest.MonkeyPatch, words: str, kinds: list[str]
) -> None:
    def made(wanted: Sequence[str], *_: object) -> Iterator[Baseline]:
        return (Baseline(kind, run_folder, {"kind": kind}) for kind in wanted)

    monkeypatch.setattr("reds.baselines.measure_baselines", made)
    printed = reds("baseline", words, "--run", run_folder, "--json").json
    # One kind is a table, as ever; several are a list.
    assert printed == ([{"kind": kind} for kind in kinds] if len(kinds) > 1 else {"kind": kinds[0]})


def test_seeds_without_a_subnetwork_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"id": 0, "name": "50%", "macs": 1, "parameters": 1, "flash_bytes": 1, "arena_bytes": 1, "accuracy": 0.5}
    rows = [{**row, "accuracies": [0.4, 0.6], "deviation": 0.14}, {**row, "accuracies": [0.5], "deviation": None}]
    output.print_baseline({"kind": "joint", "epochs": 1, "seeds": [0, 1], "subnetworks": rows})
    lines = [line for line in capsys.readouterr().out.splitlines() if "50%" in line]
    assert [" of " in line for line in lines] == [False, True]
    assert "1 of 2 seeds" in lines[1]


def test_help_and_version(reds: Any) -> None:
    assert reds("--help").code == reds("run", "--help").code == reds("--version").code == 0
