"""Does the whole job once: data, training, subnetworks, one file, proofs, and a budget that changes on a board."""

import argparse
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reds.cli import options, output
from reds.files import write_atomically
from reds.run_folder import BASELINE_FILE, MODEL_FILE, PLOT_FILE, TABLE_FILE, TRACE_FILE

if TYPE_CHECKING:
    import keras

    from reds.datasets import Dataset
    from reds.pruning import PrunedRun
    from reds_bench.scenario import Record, Scenario

ARCHITECTURE = "ds_cnn_s"
EXIT_TAP = "block2_pointwise"
EPOCHS = 14
MAX_ARENA_BYTES = 16 * 1024
"""What the demo leaves the network of a small microcontroller's memory."""

FINETUNE_EPOCHS = 12
EXIT_EPOCHS = 10
VERIFICATION_SAMPLES = 200
BOARD_SAMPLES = 20
TRACE_INFERENCES = 5
TRACE_FRACTIONS = (1.0, 0.75, 0.5, 0.25, 0.5, 1.0, 0.8)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), metavar="DIR", help="default runs/demo")
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="real Speech Commands; default: $REDS_DATA, else generated clips"
    )
    parser.add_argument("--board", default="qemu:cortex-m4", help="emulated board; default qemu:cortex-m4")
    options.add_seed(parser)
    options.add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Runs the demo, or shows what it made before."""
    options.check_board(arguments.board)
    stages = output.Stages()
    folder: Path = arguments.out
    dataset = options.load_dataset("spoken_commands", arguments.data_dir, arguments.seed)
    stages(f"{dataset.name}: {len(dataset.train)} training clips, {len(dataset.test)} test clips")
    request = {"dataset": dataset.name, "board": arguments.board, "seed": arguments.seed}
    table = _finished(folder, request)
    if table is None:
        pruned = _make_subnetworks(dataset, folder, arguments.seed, stages)
        table = _prove_and_play(pruned.model, dataset, request, stages)
        stages("done")
    else:
        stages(f"{folder} is done already; showing it again")
    if arguments.json:
        output.print_json(table)
    else:
        _show(folder, table)


def _finished(folder: Path, request: Mapping[str, Any]) -> dict[str, Any] | None:
    """The table of an earlier run with the same request whose model is still as it was."""
    path, model = folder / TABLE_FILE, folder / MODEL_FILE
    if not path.exists() or not model.exists():
        return None
    table = json.loads(path.read_text(encoding="utf-8"))
    same = table.get("request") == request and table.get("sha256") == _sha256(model)
    return table if same else None


def _make_subnetworks(dataset: "Dataset", folder: Path, seed: int, stages: output.Stages) -> "PrunedRun":
    from reds.pruning import PruneSettings, prune

    model = _baseline(dataset, folder, seed, stages)
    settings = PruneSettings(
        exits=(EXIT_TAP,), max_arena=MAX_ARENA_BYTES, epochs=FINETUNE_EPOCHS, exit_epochs=EXIT_EPOCHS, seed=seed
    )
    return prune(model, dataset, folder, settings, stages)


def _prove_and_play(
    model: Path, dataset: "Dataset", request: Mapping[str, Any], stages: output.Stages
) -> dict[str, Any]:
    """Counts, proves, plays the budget trace, and writes the table, the trace and the plot beside the model."""
    from reds.inspecting import inspect
    from reds.measuring import measure_instructions
    from reds.plots import plot_run
    from reds.runtime import Runtime
    from reds.verifying import verify

    x, y = dataset.test.features()
    inputs = Runtime(model).quantize(x)
    board = request["board"]
    measured = measure_instructions(model, board, inputs[0], stages)
    verification = verify(model, inputs[:VERIFICATION_SAMPLES], (board,), BOARD_SAMPLES, progress=stages)
    verification.require()
    stages(f"verified: {len(verification.checks)} comparisons hold; playing the budget trace on {board}")
    records = _play(model, board, inputs, y)
    report = inspect(model)
    plot_run(report, records, model.with_name(PLOT_FILE))
    table = {
        **report.as_dict(),
        "request": dict(request),
        "sha256": _sha256(model),
        "switch_instructions": measured.select_instructions,
        "budget_instructions": measured.budget_instructions,
        "open_instructions": measured.open_instructions,
        "trace": {"inferences": len(records), "right": sum(record.predicted == record.label for record in records)},
        "verification": verification.as_dict(),
        "seconds": round(stages.seconds, 1),
    }
    _write_json(model.with_name(TRACE_FILE), [asdict(record) for record in records])
    _write_json(model.with_name(TABLE_FILE), table)
    return table


def _show(folder: Path, table: Mapping[str, Any]) -> None:
    from reds.inspecting import inspect

    output.print_model(inspect(folder / MODEL_FILE), table["switch_instructions"])
    trace = table["trace"]
    output.OUT.print(
        f"The device answered {trace['right']} of {trace['inferences']} clips right while the budget changed "
        f"{len(TRACE_FRACTIONS) - 1} times; a budget request costs {table['budget_instructions']} instructions.\n"
        f"Written to {folder}: model.tflite, {TABLE_FILE}, {TRACE_FILE}, {PLOT_FILE}.\n"
        "Next:\n"
        f"  reds report {folder}                                    all of it as one page\n"
        f"  reds emit {folder} -o model.tflite --c-array model.h      for your firmware\n"
        "  reds prune YOUR.keras --data NAME --budgets 0.25,0.5      for your network"
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _baseline(dataset: "Dataset", folder: Path, seed: int, stages: output.Stages) -> "keras.Model":
    from reds import zoo
    from reds.training import train

    path = folder / BASELINE_FILE
    if path.exists():
        return options.load_keras_model(path)
    model = zoo.build(ARCHITECTURE, seed)
    stages(f"training {ARCHITECTURE} for {EPOCHS} epochs")
    train(
        model,
        dataset,
        EPOCHS,
        seed=seed,
        run_dir=folder,
        on_epoch=lambda epoch: stages(f"epoch {epoch.number}/{EPOCHS}  validation {epoch.validation_accuracy:.1%}"),
    )
    return model


def _play(path: Path, board: str, inputs: NDArray, labels: NDArray) -> "list[Record]":
    from reds.inspecting import inspect
    from reds_bench.client import Bench
    from reds_bench.emulator import boot
    from reds_bench.scenario import play

    scenario, output_type = _scenario(), inspect(path).output_type
    count = min(len(inputs), sum(step.inferences for step in scenario.steps))
    chosen = np.linspace(0, len(inputs) - 1, count).astype(int)
    samples = [inputs[index].tobytes() for index in chosen]
    with boot(board, path) as url, Bench(url) as bench:
        return list(play(bench, scenario, samples, output_type, [int(labels[index]) for index in chosen]))


def _scenario() -> "Scenario":
    from reds_bench.scenario import Scenario, Step

    steps = tuple(Step(TRACE_INFERENCES, macs_fraction=fraction) for fraction in TRACE_FRACTIONS)
    return Scenario("demo", steps)


def _write_json(path: Path, value: object) -> None:
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())
