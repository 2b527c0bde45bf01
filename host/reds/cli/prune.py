"""Makes a family of subnetworks from a trained network and emits it as OUT/model.tflite."""

import argparse
import json
from pathlib import Path

from reds.cli import options, output
from reds.files import write_atomically
from reds.run_folder import TABLE_FILE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("model", type=Path, metavar="MODEL.keras")
    options.add_data(parser, required=True)
    options.add_search(parser)
    parser.add_argument("--importance", choices=options.IMPORTANCE, default="taylor")
    parser.add_argument("--multiple", type=options.positive, default=4, help="widths are multiples of it; default 4")
    parser.add_argument("--exits", type=options.names, default=(), metavar="auto|NAMES", help="layers to tap")
    parser.add_argument("--head", choices=options.HEADS, default="auxiliary", help="behind the taps; default auxiliary")
    parser.add_argument(
        "--joint",
        action="store_true",
        help="let any exit and any widths meet a budget; train all candidates and keep the most accurate",
    )
    parser.add_argument(
        "--skip-blocks",
        type=options.names,
        default=(),
        metavar="auto|NAMES",
        help="let a budget be met without some of these residual blocks, named by their sums; implies --joint",
    )
    parser.add_argument("--keep-all", action="store_true", help="keep all candidates of --joint")
    parser.add_argument(
        "--exit-training",
        choices=options.EXIT_TRAININGS,
        help="heads behind the frozen network, or with it; default frozen, with --joint joint",
    )
    parser.add_argument(
        "--guard", type=options.share, metavar="SHARE", help="accuracy that the full network may lose, such as 0.01"
    )
    parser.add_argument("--epochs", type=options.not_negative, default=20, help="of joint fine-tuning; default 20")
    parser.add_argument("--exit-epochs", type=options.not_negative, help="of the exit heads; default as --epochs")
    parser.add_argument("--learning-rate", type=options.rate, default=5e-3)
    parser.add_argument(
        "--loss",
        choices=options.LOSSES,
        default="distillation",
        help="follow the full network's output, or REDS' weighted sum; default distillation",
    )
    parser.add_argument(
        "--batch-norm",
        choices=options.BATCH_NORMS,
        default="own",
        help="statistics of each subnetwork, or the full network's for all; default own",
    )
    parser.add_argument("--decay", choices=options.DECAYS, default="cosine", help="of the learning rate")
    parser.add_argument("--precision", choices=options.PRECISIONS, default="float32", help="of fine-tuning")
    parser.add_argument(
        "--quantization-aware",
        type=options.not_negative,
        default=0,
        metavar="EPOCHS",
        help="train with the rounding of int8 after fine-tuning; default 0",
    )
    parser.add_argument("--type", choices=options.TYPES, default="int8")
    parser.add_argument("--out", type=Path, metavar="RUN", help="run folder; default runs/MODEL")
    options.add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Prunes."""
    from reds.inspecting import inspect
    from reds.pruning import PruneSettings, prune

    stages = output.Stages()
    folder = arguments.out or Path("runs") / arguments.model.stem
    settings = PruneSettings(
        budgets=arguments.budgets,
        metric=arguments.metric,
        objective=arguments.objective,
        max_arena=arguments.max_arena,
        limits=dict(arguments.limits),
        minimum=arguments.minimum,
        kernels=arguments.kernels,
        exits=arguments.exits,
        head=arguments.head,
        joint=arguments.joint,
        skip_blocks=arguments.skip_blocks,
        keep_all=arguments.keep_all,
        exit_training=arguments.exit_training,
        guard=arguments.guard,
        multiple=arguments.multiple,
        order=arguments.order,
        importance=arguments.importance,
        epochs=arguments.epochs,
        exit_epochs=arguments.exit_epochs,
        learning_rate=arguments.learning_rate,
        loss=arguments.loss,
        batch_norm=arguments.batch_norm,
        decay=arguments.decay,
        precision=arguments.precision,
        quantization_aware=arguments.quantization_aware,
        type=arguments.type,
        seed=arguments.seed,
    )
    model = options.load_keras_model(arguments.model)
    dataset = options.load_dataset(arguments.data, arguments.data_dir, arguments.seed, arguments.download)
    pruned = prune(model, dataset, folder, settings, stages)
    report = inspect(pruned.model)
    write_atomically(folder / TABLE_FILE, (json.dumps(report.as_dict(), indent=2) + "\n").encode())
    if arguments.json:
        output.print_json(report.as_dict())
        return
    output.print_model(report)
    output.OUT.print(
        f"Next: reds verify {pruned.model} --board qemu:cortex-m4\n"
        f"      reds bench {pruned.model} --board qemu:cortex-m4 --record     counts its instructions"
    )
