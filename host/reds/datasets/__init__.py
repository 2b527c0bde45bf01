"""Data sets behind one interface: generated spoken commands, Speech Commands, Fashion-MNIST, your own arrays."""

from reds.datasets.catalog import NAMES, load
from reds.datasets.dataset import Dataset, Preprocessing, Split

__all__ = ["NAMES", "Dataset", "Preprocessing", "Split", "load"]
