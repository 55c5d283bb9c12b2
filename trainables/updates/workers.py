"""Sums and means over workers of what `DistributedDataParallel` does not reduce."""

from collections.abc import Sequence

import torch.distributed as dist
from torch import Tensor, nn


def mean_over_workers(tensors: Sequence[Tensor | None], world_size: int) -> None:
    """Replace each tensor by its mean over the workers, in place; an entry that is None must be None on all workers."""
    if world_size == 1:
        return
    found = [tensor for tensor in tensors if tensor is not None]
    for pending in [dist.all_reduce(tensor, async_op=True) for tensor in found]:
        pending.wait()
    for tensor in found:
        tensor.div_(world_size)


def sum_over_workers(tensor: Tensor, world_size: int) -> Tensor:
    """Replace a tensor by its sum over the workers, in place, and return it."""
    if world_size > 1:
        dist.all_reduce(tensor)
    return tensor


def mean_of_workers(value: Tensor, world_size: int) -> Tensor:
    """The mean of a tensor over the workers; the tensor itself stays unchanged."""
    return value if world_size == 1 else sum_over_workers(value.clone(), world_size) / world_size


def average_buffers(model: nn.Module, world_size: int) -> None:
    """Replace each worker's batch-norm statistics, and any other floating-point buffer, by the mean."""
    if world_size > 1:
        for buffer in model.buffers():
            if buffer.is_floating_point():
                buffer.copy_(mean_of_workers(buffer, world_size))
