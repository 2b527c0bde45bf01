"""Trains all subnetworks of a family on one set of shared weights, then its exit heads.

Sandwich sampling and in-place distillation follow "Universally slimmable networks" (Yu and Huang, 2019), the
alternative loss weighted by the share of the parameters follows REDS (Corti et al., 2023).
"""

from reds.finetune.evaluation import accuracy, evaluate
from reds.finetune.pipeline import Loss, finetune
from reds.finetune.training import EpochReport

__all__ = ["EpochReport", "Loss", "accuracy", "evaluate", "finetune"]
