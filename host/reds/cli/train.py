"""Trains a baseline network and saves it as OUT/model.keras. An interrupted training goes on where it stopped."""

import argparse
from pathlib import Path

from reds.cli import options, output

DEFAULT_EPOCHS = 14


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("architecture", metavar="ARCHITECTURE", help="such as ds_cnn_s; see the zoo's list in an error")
    options.add_data(parser, required=True)
    parser.add_argument("--out", type=Path, metavar="RUN", help="run folder; default runs/ARCHITECTURE")
    parser.add_argument("--epochs", type=options.positive, default=DEFAULT_EPOCHS)
    parser.add_argument("--batch-size", type=options.positive, default=100)
    options.add_seed(parser)
    options.add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Trains."""
    from reds import zoo
    from reds.run_folder import BASELINE_FILE
    from reds.training import accuracy, train

    stages = output.Stages()
    model = zoo.build(arguments.architecture, arguments.seed)
    dataset = options.load_dataset(arguments.data, arguments.data_dir, arguments.seed, arguments.download)
    folder = arguments.out or Path("runs") / arguments.architecture
    stages(f"training {arguments.architecture} on {dataset.name}: {len(dataset.train)} samples")
    history = train(
        model,
        dataset,
        arguments.epochs,
        seed=arguments.seed,
        batch_size=arguments.batch_size,
        run_dir=folder,
        on_epoch=lambda epoch: stages(f"epoch {epoch.number}: validation accuracy {epoch.validation_accuracy:.1%}"),
    )
    test = accuracy(model, dataset.test)
    path = folder / BASELINE_FILE
    if arguments.json:
        validation = history.epochs[-1].validation_accuracy
        output.print_json({"model": str(path), "validation_accuracy": validation, "test_accuracy": test})
        return
    output.OUT.print(f"{path}: test accuracy {test:.1%}")
    output.OUT.print(f"Next: reds prune {path} --data {arguments.data} --out {folder}")
