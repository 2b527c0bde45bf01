"""Does the whole job once: data, training, subnetworks, one file, proofs, and a budget that changes on a board."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reds.cli import options, output
from reds.files import write_atomically

if TYPE_CHECKING:
    import keras

    from reds.datasets import Dataset
    from reds_bench.scenario import Record, Scenario

ARCHITECTURE = "ds_cnn_s"
EXIT_TAP = "block2_pointwise"
EPOCHS = 14
FINETUNE_EPOCHS = 12
EXIT_EPOCHS = 10
VERIFICATION_SAMPLES = 200
BOARD_SAMPLES = 6
TRACE_INFERENCES = 5
TRACE_FRACTIONS = (1.0, 0.75, 0.5, 0.25, 0.5, 1.0, 0.8)
PLOT_FILE = "demo.png"
TABLE_FILE = "table.json"
TRACE_FILE = "trace.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), metavar="DIR", help="default runs/demo")
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="real Speech Commands; default: $REDS_DATA, else generated clips"
    )
    parser.add_argument("--board", default="qemu:cortex-m4", help="emulated board; default qemu:cortex-m4")
    parser.add_argument("--seed", type=int, default=0)
    options.add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Runs the demo."""
    from reds.inspecting import inspect
    from reds.measuring import measure_instructions
    from reds.plots import plot_run
    from reds.pruning import PruneSettings, prune
    from reds.runtime import Runtime
    from reds.verifying import verify

    stages = output.Stages()
    folder: Path = arguments.out
    dataset = options.load_dataset("spoken_commands", arguments.data_dir, arguments.seed)
    stages(f"{dataset.name}: {len(dataset.train)} training clips, {len(dataset.test)} test clips")
    model = _baseline(dataset, folder, arguments.seed, stages)
    settings = PruneSettings(exits=(EXIT_TAP,), epochs=FINETUNE_EPOCHS, exit_epochs=EXIT_EPOCHS, seed=arguments.seed)
    pruned = prune(model, dataset, folder, settings, stages)

    x, y = dataset.test.features()
    inputs = Runtime(pruned.model).quantize(x)
    measured = measure_instructions(pruned.model, arguments.board, inputs[0], stages)
    verification = verify(
        pruned.model, inputs[:VERIFICATION_SAMPLES], (arguments.board,), BOARD_SAMPLES, progress=stages
    )
    verification.require()
    stages(f"verified: {len(verification.checks)} comparisons hold; playing the budget trace on {arguments.board}")
    records = _play(pruned.model, arguments.board, inputs, y)

    report = inspect(pruned.model)
    plot_run(report, records, folder / PLOT_FILE)
    table = {
        **report.as_dict(),
        "dataset": dataset.name,
        "switch_instructions": measured.select_instructions,
        "budget_instructions": measured.budget_instructions,
        "open_instructions": measured.open_instructions,
        "verification": verification.as_dict(),
        "seconds": round(stages.seconds, 1),
    }
    _write_json(folder / TABLE_FILE, table)
    _write_json(folder / TRACE_FILE, [asdict(record) for record in records])
    stages("done")
    if arguments.json:
        output.print_json(table)
        return
    output.print_model(report, measured.select_instructions)
    right = sum(record.predicted == record.label for record in records)
    output.OUT.print(
        f"The device answered {right} of {len(records)} clips right while the budget changed "
        f"{len(TRACE_FRACTIONS) - 1} times; a budget request costs {measured.budget_instructions} instructions.\n"
        f"Written to {folder}: model.tflite, {TABLE_FILE}, {TRACE_FILE}, {PLOT_FILE}.\n"
        "Next:\n"
        f"  reds inspect {folder}/model.tflite\n"
        f"  reds emit {folder} -o model.tflite --c-array model.h      for your firmware\n"
        "  reds prune YOUR.keras --data NAME --budgets 0.25,0.5      for your network"
    )


def _baseline(dataset: "Dataset", folder: Path, seed: int, stages: output.Stages) -> "keras.Model":
    from reds import zoo
    from reds.training import MODEL_FILE, train

    path = folder / MODEL_FILE
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
    from reds_bench.client import Bench
    from reds_bench.emulator import boot
    from reds_bench.scenario import play

    scenario = _scenario()
    count = min(len(inputs), sum(step.inferences for step in scenario.steps))
    chosen = np.linspace(0, len(inputs) - 1, count).astype(int)
    samples = [inputs[index].tobytes() for index in chosen]
    with boot(board, path) as url, Bench(url) as bench:
        return list(play(bench, scenario, samples, [int(labels[index]) for index in chosen]))


def _scenario() -> "Scenario":
    from reds_bench.scenario import Scenario, Step

    steps = tuple(Step(TRACE_INFERENCES, macs_fraction=fraction) for fraction in TRACE_FRACTIONS)
    return Scenario("demo", steps)


def _write_json(path: Path, value: object) -> None:
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())
