"""Data sets behind one interface: spoken commands, images, your own arrays."""

from reds.datasets.catalog import NAMES, load
from reds.datasets.dataset import Dataset, Preprocessing, Split

__all__ = ["NAMES", "Dataset", "Preprocessing", "Split", "load"]
