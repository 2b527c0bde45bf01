"""Runs one subnetwork on a batch of inputs, on this machine or on an emulated board."""

import argparse
import hashlib
from pathlib import Path

import numpy as np

from reds.cli import options, output
from reds.files import save_array


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("model", type=Path, metavar="MODEL.tflite")
    parser.add_argument("--input", type=Path, required=True, metavar="X.npy", help="a batch in the model's own type")
    parser.add_argument("--subnetwork", type=int, default=0, metavar="I")
    parser.add_argument(
        "--board", default="x86", help="x86 (default), or an emulated board such as qemu:cortex-m4 or rp2040js"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="Y.npy", help="write the outputs")
    options.add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Runs."""
    from reds.inspecting import inspect
    from reds.runtime import Runtime
    from reds_bench.batch import run_batch
    from reds_bench.client import Bench
    from reds_bench.emulator import boot

    options.check_board(arguments.board)
    inputs = options.load_inputs(arguments.input, arguments.model)
    runtime = Runtime(arguments.model)
    runtime.select(arguments.subnetwork)
    outputs = runtime.invoke(inputs)
    unit, instructions, switch_instructions = "instructions", None, None
    if arguments.board != "x86":
        with boot(arguments.board, arguments.model) as url, Bench(url) as bench:
            result = run_batch(bench, arguments.subnetwork, inputs, runtime.output.dtype)
            unit, instructions = result.unit, result.instructions
            switch_instructions = bench.stats().select_instructions
        outputs = result.outputs.reshape(len(inputs), *runtime.output.shape)
    if arguments.output:
        save_array(arguments.output, outputs.reshape(-1, *inspect(arguments.model).output_shape[1:]))
    summary = {
        "subnetwork": arguments.subnetwork,
        unit: instructions,
        f"switch_{unit}": switch_instructions,
        "arena_bytes": runtime.subnetworks[arguments.subnetwork].arena_bytes,
        "outputs_sha256": hashlib.sha256(np.ascontiguousarray(outputs).tobytes()).hexdigest(),
    }
    if arguments.json:
        output.print_json(summary)
        return
    for name, value in summary.items():
        output.OUT.print(f"{name:>20}  {value if value is not None else '-'}")
