"""Batch norm without memory: extra forward passes must not count as training steps."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _NormBase


@contextmanager
def frozen_batch_norm(model: nn.Module) -> Iterator[nn.Module]:
    """Normalise by batch statistics, as training does, and leave every running statistic as it is.

    For passes that are not the training pass: SAM's second one and the curvature pass. The running
    mean and variance and the count of batches stay bitwise the same, also when the body raises.
    Modules in eval mode go on using their running statistics. Covers all of torch's batch and
    instance norms, `SyncBatchNorm` included.
    """
    tracking = [m for m in model.modules() if isinstance(m, _NormBase) and m.track_running_stats]
    for module in tracking:
        module.track_running_stats = False
    try:
        yield model
    finally:
        for module in tracking:
            module.track_running_stats = True
