"""Trains all subnetworks of a family on one set of shared weights, then its exit heads.

Sandwich sampling and in-place distillation follow "Universally slimmable networks" (Yu and Huang, 2019), the
alternative loss weighted by the share of the parameters follows REDS (Corti et al., 2023).
"""

from reds.finetuning.evaluation import accuracy, evaluate
from reds.finetuning.pipeline import Loss, finetune
from reds.finetuning.quantized import quantize_aware
from reds.finetuning.training import EpochReport

__all__ = ["EpochReport", "Loss", "accuracy", "evaluate", "finetune", "quantize_aware"]
