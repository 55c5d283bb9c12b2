"""Implicit Regularization Enhancement: an optimizer wrapper that moves faster along flat directions.

Wang et al., "Improving Generalization and Convergence by Enhancing Implicit Regularization",
NeurIPS 2024. Needs torch and nothing else.
"""

from ire.batch_norm import frozen_batch_norm
from ire.optimizer import IRE
from ire.sam import SAM
from ire.sampling import sampled_nll

__all__ = ["IRE", "SAM", "frozen_batch_norm", "sampled_nll"]
