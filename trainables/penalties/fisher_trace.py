"""FT: the scalar is the loss against labels drawn from the model, once for each micro-batch.

‖∇L̂_M‖² is an unbiased estimate of Tr F / m: the same primitive as IRE's curvature. The training loss keeps the
true labels (Novack et al. 2023, `FishLoss`).
"""

from torch import Tensor

from trainables.penalties.scalar import MicroBatch


def fisher_trace(micro_batch: MicroBatch) -> Tensor:
    """L̂_M, the mean cross-entropy against sampled labels."""
    return micro_batch.task.sampled_loss(
        micro_batch.outputs, micro_batch.batch, generator=micro_batch.generator
    )
