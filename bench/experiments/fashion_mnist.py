"""Makes the subnetworks of DS-CNN S for Fashion-MNIST: python bench/experiments/fashion_mnist.py DATA [--out RUN].

DATA holds the four official files. The budgets are 25, 50 and 75 % of the true multiply-accumulates and, for a
comparison like with like, the smaller true shares that the nominal 25, 50 and 75 % of the REDS paper come to. What an
interruption left is done when it is started again. The record is `fashion_mnist.json` beside this file.
"""

import argparse
import json
import subprocess
from pathlib import Path

from reds import datasets, store
from reds.emitting import emit
from reds.files import write_atomically
from reds.graph import Supernet
from reds.measuring import measure_accuracy
from reds.run_folder import BASELINE_FILE, MODEL_FILE, SUPERNET_FILE, TABLE_FILE

ARCHITECTURE, DATA = "ds_cnn_s_fashion_mnist", "fashion_mnist"
EPOCHS, FINETUNE_EPOCHS, BATCH_SIZE = 14, 12, 128

NOMINAL_SHARES = {"25%": 0.177, "50%": 0.41, "75%": 0.63}
"""True shares of the multiply-accumulates in the paper's DS-CNN S subnetworks of these nominal budgets."""

BUDGETS = tuple(sorted((0.25, 0.5, 0.75, *NOMINAL_SHARES.values())))

PAPER = {"100%": 0.916, "75%": 0.9151, "50%": 0.9075, "25%": 0.8922}
"""Test accuracies of REDS (arXiv 2311.13349, appendix), bottom-up, by nominal budget."""


def make(data: Path, run: Path) -> None:
    """Trains the network, then its subnetworks."""
    where = ["--data", DATA, "--data-dir", str(data), "--out", str(run)]
    train = ["reds", "train", ARCHITECTURE, "--epochs", str(EPOCHS), "--batch-size", str(BATCH_SIZE), *where]
    subprocess.run(train, check=True)
    budgets = ",".join(str(budget) for budget in BUDGETS)
    prune = ["reds", "prune", str(run / BASELINE_FILE), "--budgets", budgets, "--epochs", str(FINETUNE_EPOCHS), *where]
    subprocess.run(prune, check=True)


def measure(data: Path, run: Path) -> dict:
    """The run's table, with the accuracies of the float32 model beside those of the int8 one."""
    table = json.loads((run / TABLE_FILE).read_text(encoding="utf-8"))
    model = run / f"float32-{MODEL_FILE}"
    emit(store.load(run / SUPERNET_FILE, Supernet), model, type="float32")
    accuracies = measure_accuracy(model, *datasets.load(DATA, data).test.features())
    for row, accuracy in zip(table["subnetworks"], accuracies, strict=True):
        row["float32_accuracy"] = accuracy
    return {
        "epochs": EPOCHS,
        "finetune_epochs": FINETUNE_EPOCHS,
        "batch_size": BATCH_SIZE,
        "nominal_shares": NOMINAL_SHARES,
        "paper": PAPER,
        "subnetworks": table["subnetworks"],
    }


def main() -> None:
    """Makes the run and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--out", type=Path, default=Path("runs") / DATA, metavar="RUN")
    parser.add_argument("--record", type=Path, default=Path(__file__).with_suffix(".json"), metavar="FILE")
    arguments = parser.parse_args()
    make(arguments.data, arguments.out)
    record = measure(arguments.data, arguments.out)
    write_atomically(arguments.record, (json.dumps(record, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
