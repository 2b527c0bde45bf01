"""Bad input: one line that says what to do, the documented exit code, and nothing left behind."""

import shutil
import socket
import time
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from small_run import SHAPE, small_model

from reds.errors import VerificationError
from reds.runtime import load_library


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs each test in an empty folder and checks that the command left nothing in it."""
    monkeypatch.chdir(tmp_path)
    yield
    made = {path.name for path in tmp_path.rglob("*") if path.suffix != ".npy" and path.name.startswith(("out", "."))}
    assert not made
    assert not (tmp_path / "runs").exists()


# ---- Names and numbers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("", "COMMAND"),
        ("adpot m.tflite", "adpot"),
        ("inspect", "MODEL"),
        ("inspect m.tflite --colour", "--colour"),
        ("solve dnn_s --budgets abc", "abc"),
        ("solve dnn_s --budgets 0.5,inf", "inf"),
        ("solve dnn_s --budgets nan", "nan"),
        ("solve dnn_s --budgets 1.5", "1.5"),
        ("solve dnn_s --budgets 0", "budgets"),
        ("solve dnn_s --budgets -0.5", "-0.5"),
        ("solve dnn_s --importance best", "best"),
        ("solve dnn_s --importance taylor", "taylor"),
        ("solve dnn_s --metric joules", "joules"),
        ("solve dnn_s --multiple 0", "--multiple"),
        ("solve dnn_s --metric cycles:z80", "z80"),
        ("solve dnn_s --max-arena -1", "--max-arena"),
        ("solve dnn_s --limit flash", "--limit"),
        ("solve dnn_s --limit flash=many", "flash=many"),
        ("solve dnn_s --limit joules=5", "joules"),
        ("solve dnn_s --limit flash=-3", "-3"),
        ("solve dnn_s --limit flash=300", "no subnetwork"),
        ("solve dnn_s --order sideways", "sideways"),
        ("solve dnn_s --skip auto", "None can be skipped"),
        ("solve resnet_8 --skip block2_add", "Those that can: block1_add"),
        ("solve dnn_s --minimum 0", "--minimum"),
        ("solve . --metric macs", "ranked.npz"),
        ("solve dnn_s --seed -1", "--seed"),
        ("solve dnn_xxl", "dnn_xxl"),
        ("solve dnn_s --data mnist", "mnist"),
        ("solve dnn_s --budgets 7", "no subnetwork"),
        ("solve dnn_s --max-arena 10", "no subnetwork"),
        ("train dnn_xxl --data spoken_commands", "dnn_xxl"),
        ("train dnn_s --data mnist", "mnist"),
        ("train dnn_s --data speech_commands --data-dir .", "expected"),
        ("train dnn_s --data fashion_mnist --data-dir .", "expected"),
        ("train dnn_s --data spoken_commands --epochs 0", "--epochs"),
        ("train dnn_s --data spoken_commands --batch-size x", "--batch-size"),
        ("prune absent.keras --data spoken_commands", "absent.keras"),
        ("prune absent.keras --data spoken_commands --learning-rate 0", "--learning-rate"),
        ("prune absent.keras --data spoken_commands --epochs -1", "--epochs"),
        ("baseline best --run absent", "best"),
        ("baseline width,height --run absent", "width, depth, joint"),
        ("baseline , --run absent", "kinds"),
        ("baseline alone --run absent", "absent"),
        ("baseline alone", "--run"),
        ("baseline alone --run absent --seeds 0,x", "--seeds"),
        ("prune absent.keras --data spoken_commands --quantization-aware -1", "--quantization-aware"),
        ("prune absent.keras --data spoken_commands --precision int4", "--precision"),
        ("emit absent -o out.tflite", "absent"),
        ("inspect absent.tflite", "absent.tflite"),
        ("extract absent.tflite --subnetwork 0 -o out.tflite", "absent.tflite"),
        ("verify absent.tflite", "absent.tflite"),
        ("thresholds absent.tflite --data spoken_commands", "absent.tflite"),
        ("thresholds absent.tflite", "--data"),
        ("thresholds absent.tflite --data spoken_commands --loss 2", "--loss"),
        ("bench absent.tflite --board x86", "absent.tflite"),
        ("bench absent.tflite", "--port"),
        ("demo --board qemu:z80", "qemu:z80"),
        ("calibrate -o out.json", "--board"),
        ("calibrate --board qemu:z80 -o out.json", "qemu:z80"),
        ("calibrate --board x86 -o out.json", "counts instructions"),
    ],
)
def test_arguments(reds: Any, monkeypatch: pytest.MonkeyPatch, arguments: str, told: str) -> None:
    monkeypatch.delenv("REDS_DATA", raising=False)
    answer = reds(*arguments.split())
    assert answer.code == 1
    assert told in answer.sentence
    assert answer.out == ""


# ---- Keras models -------------------------------------------------------------------------------------------------


def test_a_model_with_an_unsupported_layer(reds: Any, pictures: str, tmp_path: Path) -> None:
    path = tmp_path / "gelu.keras"
    stack = [layers.Input((4,)), layers.Dense(5, name="first"), layers.LayerNormalization(name="norm"), layers.Dense(3)]
    keras.Sequential(stack).save(path)
    for command in (("solve", path), ("prune", path, "--data", pictures)):
        answer = reds(*command)
        assert answer.code == 1
        assert "'norm'" in answer.sentence
    assert not (tmp_path / "runs").exists()


def test_a_text_file_as_a_keras_model(reds: Any, tmp_path: Path) -> None:
    path = tmp_path / "text.keras"
    path.write_text("not a model")
    answer = reds("solve", path)
    assert answer.code == 1
    assert "text.keras" in answer.sentence


def test_a_zip_file_as_a_keras_model(reds: Any, tmp_path: Path) -> None:
    path = tmp_path / "zip.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    assert reds("solve", path).code == 1
    assert "zip.keras" in reds("solve", path).sentence


def test_a_model_whose_training_diverged(reds: Any, pictures: str, tmp_path: Path) -> None:
    path = tmp_path / "nan.keras"
    model = small_model()
    model.get_layer("conv").kernel.assign(np.full((3, 3, 1, 8), np.nan))
    model.save(path)
    for command in (("solve", path), ("prune", path, "--data", pictures)):
        answer = reds(*command)
        assert answer.code == 1
        assert "conv" in answer.sentence


def test_data_that_do_not_fit_the_model(reds: Any, pictures: str, tmp_path: Path) -> None:
    path = tmp_path / "other.keras"
    keras.Sequential([layers.Input((5, 5, 1)), layers.Flatten(), layers.Dense(4), layers.Dense(3)]).save(path)
    answer = reds("prune", path, "--data", pictures)
    assert answer.code == 1
    assert "(5, 5, 1)" in answer.sentence


def test_data_with_other_classes(reds: Any, pictures: str, tmp_path: Path) -> None:
    path = tmp_path / "other.keras"
    keras.Sequential([layers.Input(SHAPE), layers.Flatten(), layers.Dense(4), layers.Dense(2)]).save(path)
    answer = reds("prune", path, "--data", pictures)
    assert answer.code == 1
    assert "classes" in answer.err


# ---- Run folders --------------------------------------------------------------------------------------------------


def test_what_cannot_be_made_does_not_bind_the_folder(
    reds: Any, keras_file: Path, pictures: str, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    for wrong in (("--budgets", "5"), ("--exits", "no_such_layer"), ("--metric", "joules")):
        answer = reds("prune", keras_file, "--data", pictures, "--importance", "l1", *wrong, "--out", folder)
        assert answer.code == 1
        assert answer.err.splitlines()[-1].startswith("reds: ")
        assert not folder.exists()


def test_a_folder_of_another_run(reds: Any, keras_file: Path, pictures: str, run_folder: Path) -> None:
    before = (run_folder / "model.tflite").read_bytes()
    answer = reds("prune", keras_file, "--data", pictures, "--budgets", "0.4", "--out", run_folder)
    assert answer.code == 1
    assert "--out" in answer.sentence
    assert (run_folder / "model.tflite").read_bytes() == before


def test_a_run_folder_below_a_file(reds: Any, keras_file: Path, pictures: str, tmp_path: Path) -> None:
    (tmp_path / "file.npy").touch()
    answer = reds("prune", keras_file, "--data", pictures, "--out", tmp_path / "file.npy" / "run")
    assert answer.code == 1
    assert "Cannot write" in answer.sentence


@pytest.mark.parametrize("content", [b"", b"not a run", "cut"])
def test_a_damaged_run(reds: Any, run_folder: Path, tmp_path: Path, content: bytes | str) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(run_folder, folder)
    saved = folder / "supernet.npz"
    saved.write_bytes(content if isinstance(content, bytes) else saved.read_bytes()[:-50])
    answer = reds("emit", folder, "-o", "out.tflite")
    assert answer.code == 1
    assert "supernet.npz" in answer.sentence


# ---- .tflite files ------------------------------------------------------------------------------------------------

READERS = [
    "inspect {model}",
    "extract {model} --subnetwork 0 -o out.tflite",
    "verify {model} --samples 1",
    "run {model} --input {inputs} -o out.npy",
    "bench {model} --board x86",
]


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "foreign", "text"])
def test_a_file_that_is_not_whole_or_not_ours(
    reds: Any, model: Path, foreign: Path, inputs: Path, tmp_path: Path, command: str, damage: str
) -> None:
    content = model.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0x10
    damaged = {
        "empty": b"",
        "cut": content[:-100],
        "flipped": bytes(flipped),
        "foreign": foreign.read_bytes(),
        "text": b"text, and no model" * 10,
    }
    path = tmp_path / "model.tflite"
    path.write_bytes(damaged[damage])
    answer = reds(*command.format(model=path, inputs=inputs).split())
    assert answer.code == 1
    assert "model.tflite" in answer.sentence
    assert "reds" in answer.sentence or "again" in answer.sentence
    assert not (tmp_path / "out.npy").exists()


@pytest.mark.parametrize("damage", ["empty", "cut", "adopted", "text"])
def test_a_file_that_cannot_be_adopted(reds: Any, model: Path, foreign: Path, tmp_path: Path, damage: str) -> None:
    content = foreign.read_bytes()
    damaged = {"empty": b"", "cut": content[:99], "adopted": model.read_bytes(), "text": b"text, and no model" * 10}
    path = tmp_path / "model.tflite"
    path.write_bytes(damaged[damage])
    answer = reds("adopt", path, "-o", tmp_path / "out.tflite", "--c-array", tmp_path / "out.h")
    assert answer.code == 1
    assert "model.tflite" in answer.sentence
    assert {entry.name for entry in tmp_path.iterdir()} == {"model.tflite"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--budgets 0.5", "`--budgets` says which subnetworks to search; give `--prune` with it"),
        ("--limit macs=0.5", "`--limit` says"),
        ("--max-arena 900", "`--max-arena` says"),
        ("--multiple 2", "`--multiple` says"),
        ("--samples x.npy", "`--samples` says"),
        ("--prune --samples nowhere.npy", "Cannot read 'nowhere.npy'"),
        ("--prune --importance fluctuation", "`importance` can only be 'fluctuation' with `samples`"),
        ("--prune --budgets 1e-9", "`budgets` cannot be met"),
        ("--prune --metric watts", "`metric` must be one of"),
    ],
)
def test_an_adopted_file_that_cannot_be_pruned(
    reds: Any, foreign: Path, tmp_path: Path, arguments: str, said: str
) -> None:
    answer = reds("adopt", foreign, "-o", tmp_path / "out.tflite", *arguments.split())
    assert answer.code == 1
    assert said in answer.sentence
    assert not (tmp_path / "out.tflite").exists()


@pytest.mark.parametrize("number", ["-1", "4", "one"])
def test_no_such_subnetwork(reds: Any, model: Path, inputs: Path, tmp_path: Path, number: str) -> None:
    for command in (
        ("run", model, "--input", inputs, f"--subnetwork={number}", "-o", tmp_path / "out.npy"),
        ("extract", model, f"--subnetwork={number}", "-o", tmp_path / "out.tflite"),
    ):
        answer = reds(*command)
        assert answer.code == 1
        assert number in answer.sentence
    assert not (tmp_path / "out.npy").exists()


def test_counts_of_a_core_that_were_not_made(reds: Any, model: Path) -> None:
    answer = reds("inspect", model, "--target", "cortex-m7")
    assert answer.code == 1
    assert "reds bench" in answer.sentence


# ---- Inputs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run {model}", "verify {model}", "bench {model} --board x86"])
@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, *SHAPE), np.float32),
        np.zeros((2, 5, 5, 1), np.int8),
        np.zeros((0, *SHAPE), np.int8),
        np.zeros((), np.int8),
        np.array([{}]),
        b"",
        b"1, 2, 3",
        "several",
        "missing",
    ],
    ids=["type", "shape", "no samples", "scalar", "objects", "empty file", "text", "several", "missing"],
)
def test_inputs_that_do_not_fit(reds: Any, model: Path, tmp_path: Path, command: str, wrong: Any) -> None:
    path = tmp_path / "x.npy"
    if isinstance(wrong, np.ndarray):
        np.save(path, wrong, allow_pickle=True)
    elif isinstance(wrong, bytes):
        path.write_bytes(wrong)
    elif wrong == "several":
        np.savez(tmp_path / "x", np.zeros(1), np.zeros(1))
        (tmp_path / "x.npz").rename(path)
    answer = reds(*command.format(model=model).split(), "--input", path)
    assert answer.code == 1
    assert "x.npy" in answer.sentence


# ---- Outputs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", ["run {model} --input {inputs}", "extract {model} --subnetwork 1", "emit {run}", "adopt {foreign}"]
)
@pytest.mark.parametrize("place", ["folder", "below a file"])
def test_a_place_that_cannot_be_written(
    reds: Any, model: Path, foreign: Path, run_folder: Path, inputs: Path, tmp_path: Path, command: str, place: str
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "file").touch()
    path = tmp_path / ("taken" if place == "folder" else "file/y")
    files = {"model": model, "foreign": foreign, "run": run_folder, "inputs": inputs}
    answer = reds(*command.format(**files).split(), "-o", path)
    assert answer.code == 1
    assert f"Cannot write '{path}'" in answer.sentence
    assert {entry.name for entry in tmp_path.iterdir()} == {"taken", "file"}


# ---- Devices ------------------------------------------------------------------------------------------------------


def test_a_port_that_does_not_exist(reds: Any, model: Path) -> None:
    answer = reds("bench", model, "--port", "/dev/does-not-exist")
    assert answer.code == 2
    assert "plugged in" in answer.sentence


def test_a_port_that_does_not_answer(reds: Any, model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        answer = reds("bench", model, "--port", f"socket://127.0.0.1:{silent.getsockname()[1]}")
    assert time.monotonic() - start < 5
    assert answer.code == 2
    assert "did not answer" in answer.sentence


def test_a_port_that_is_no_url(reds: Any, model: Path) -> None:
    answer = reds("bench", model, "--port", "gopher://x")
    assert answer.code == 1
    assert "gopher" in answer.sentence


@pytest.mark.parametrize("command", ["run {model} --input {inputs}", "verify {model} --samples 1", "bench {model}"])
def test_an_unknown_board_and_a_missing_emulator(
    reds: Any, model: Path, inputs: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    arguments = command.format(model=model, inputs=inputs).split()
    unknown = reds(*arguments, "--board", "qemu:z80")
    assert unknown.code == 1
    assert "qemu:cortex-m4" in unknown.sentence
    monkeypatch.setenv("PATH", "")
    missing = reds(*arguments, "--board", "qemu:cortex-m4")
    assert missing.code == 1
    assert "package `qemu-system-arm`" in missing.err.splitlines()[-1]


def test_libreds_is_not_built(
    reds: Any, model: Path, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reds.runtime.load_library", partial(load_library, tmp_path / "libreds.so"))
    answer = reds("run", model, "--input", inputs)
    assert answer.code == 1
    assert "./bootstrap" in answer.sentence


# ---- Verification, interruption -----------------------------------------------------------------------------------


def test_a_verification_that_fails(reds: Any, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise VerificationError("Two outputs differ.")

    monkeypatch.setattr("reds.verifying.verify", fail)
    answer = reds("verify", model)
    assert answer.code == 3
    assert "differ" in answer.sentence


def test_an_interruption(reds: Any, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("reds.inspecting.inspect", interrupt)
    answer = reds("inspect", model)
    assert answer.code == 130
    assert "interrupted" in answer.sentence
