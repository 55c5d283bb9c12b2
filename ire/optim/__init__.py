"""What happens inside a step: IRE, SAM and the sharpness of a minimum. Needs torch and nothing else."""

from ire.optim.curvature.batch_norm import frozen_batch_norm
from ire.optim.curvature.sampling import sampled_nll
from ire.optim.curvature.sharpness import Estimate, fisher_trace, hessian_trace, largest_eigenvalue
from ire.optim.curvature.sources import Source
from ire.optim.ire import IRE
from ire.optim.sam import SAM

__all__ = [
    "IRE",
    "SAM",
    "Estimate",
    "Source",
    "fisher_trace",
    "frozen_batch_norm",
    "hessian_trace",
    "largest_eigenvalue",
    "sampled_nll",
]
