"""Batch norm without memory: extra forward passes must not count as training steps."""

from collections.abc import Generator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _NormBase  # pyright: ignore[reportPrivateUsage] - no public class is the base of all
from torch.nn.modules.instancenorm import _InstanceNorm  # pyright: ignore[reportPrivateUsage]

_STATISTICS = ("running_mean", "running_var")


@contextmanager
def frozen_batch_norm(model: nn.Module) -> Generator[nn.Module, None, None]:
    """Normalise by batch statistics, as training does, and leave all running statistics unchanged.

    For passes other than the training pass: SAM's second pass and the curvature pass. The running
    mean and variance and the count of batches stay bitwise the same, also when the body raises.
    Modules in eval mode continue to use their running statistics. Covers all of torch's batch and
    instance norms, `SyncBatchNorm` included.
    """
    tracking = [m for m in model.modules() if isinstance(m, _NormBase) and m.track_running_stats]
    batch_norms = [m for m in tracking if not isinstance(m, _InstanceNorm)]
    # In training an instance norm updates whatever statistics it has; in eval mode it uses them only while it tracks.
    instance_norms = [m for m in tracking if isinstance(m, _InstanceNorm) and m.training]
    kept = [[getattr(module, name) for name in _STATISTICS] for module in instance_norms]
    for module in batch_norms:
        module.track_running_stats = False
    for module in instance_norms:
        for name in _STATISTICS:
            setattr(module, name, None)
    try:
        yield model
    finally:
        for module in batch_norms:
            module.track_running_stats = True
        for module, statistics in zip(instance_norms, kept, strict=True):
            for name, statistic in zip(_STATISTICS, statistics, strict=True):
                setattr(module, name, statistic)
