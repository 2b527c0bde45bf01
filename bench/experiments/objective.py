"""Compares the search's two objectives: python bench/experiments/objective.py RUN/model.keras DATA RECORD.json.

Prunes the same trained network once for the product of the kept shares of importance and once for their sum (as in
REDS), everything else alike, and records the tables.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from reds.files import write_atomically

EPOCHS = 12


def main(model: str, data: str, record: str) -> None:
    """Runs both and writes the record."""
    tables = {}
    with tempfile.TemporaryDirectory() as folder:
        for objective in ("product", "sum"):
            command = ["reds", "prune", model, "--data", data, "--objective", objective]
            command += ["--epochs", str(EPOCHS), "--out", f"{folder}/{objective}", "--json"]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            tables[objective] = json.loads(output)["subnetworks"]
    write_atomically(Path(record), (json.dumps({"data": data, "epochs": EPOCHS, **tables}, indent=1) + "\n").encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
