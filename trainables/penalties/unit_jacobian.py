"""UJ: the scalar is the mean output along a random direction of unit length, drawn anew for each micro-batch.

In expectation ‖∇(f̄·u)‖² is ‖J‖²_F / C for the Jacobian J of the mean output (Novack et al. 2023, `UnitJacLoss`).
"""

import torch
from torch import Tensor

from ire.optim.tensors.typed import vector_norm
from trainables.penalties.scalar import MicroBatch, positions


def unit_jacobian(micro_batch: MicroBatch) -> Tensor:
    """The mean over the micro-batch of f, times u: uniform on the unit sphere of the C classes."""
    mean = positions(micro_batch.outputs).mean(0)
    draws = micro_batch.generator
    u = torch.randn(len(mean), generator=draws, device=draws.device, dtype=torch.float64)
    return mean @ (u / vector_norm(u)).to(mean)
