"""AJ: the scalar is the sum over classes of the mean output: one row of ones against the Jacobian.

A penalty of the same cost as GN that uses neither loss nor labels (Novack et al. 2023, `AvgJacLoss`).
"""

from torch import Tensor

from trainables.penalties.scalar import MicroBatch, positions


def average_jacobian(micro_batch: MicroBatch) -> Tensor:
    """Σ_c of the mean over the micro-batch of f_c."""
    return positions(micro_batch.outputs).mean(0).sum()
