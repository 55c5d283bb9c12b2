"""GN: the scalar is the training loss itself, so the penalty is ‖∇L_M‖² of each micro-batch M.

Small-batch SGD carries this regularizer implicitly (Smith et al. 2021; Novack et al. 2023, `RegLoss`).
"""

from torch import Tensor

from trainables.penalties.scalar import MicroBatch


def gradient_norm(micro_batch: MicroBatch) -> Tensor:
    """L_M, the mean loss of the micro-batch."""
    return micro_batch.loss
