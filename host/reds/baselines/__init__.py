"""What a run's subnetworks are compared with: the same budgets, data, seeds and epochs, another way to get there.

The comparisons are those of REDS (Corti et al., arXiv 2311.13349, evaluation section and ablations), and of depth
pruning with auxiliary networks (De Leon and Atienza, arXiv 2204.10546): the cut from scratch, single weights at zero.
"""

from reds.baselines.pipeline import Baseline, measure_baseline, measure_baselines

__all__ = ["Baseline", "measure_baseline", "measure_baselines"]
