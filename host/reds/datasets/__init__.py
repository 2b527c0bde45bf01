"""Data sets behind one interface: spoken commands, images, your own arrays."""

from reds.datasets.adapting import Data, as_dataset, from_arrays, from_batches
from reds.datasets.catalog import NAMES, load
from reds.datasets.dataset import Dataset, Preprocessing, Split

__all__ = [
    "NAMES",
    "Data",
    "Dataset",
    "Preprocessing",
    "Split",
    "as_dataset",
    "from_arrays",
    "from_batches",
    "load",
]
