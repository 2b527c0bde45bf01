"""Gives a TFLite model that another tool made its metadata entry `REDS`, so that libreds runs it."""

from reds.adopting.file import adopt, with_plan
from reds.adopting.pruning import AdoptPruning

__all__ = ["AdoptPruning", "adopt", "with_plan"]
