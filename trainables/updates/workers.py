"""Sums and means over workers of what `DistributedDataParallel` does not reduce."""

from collections.abc import Sequence

import torch.distributed as dist
from torch import Tensor


def mean_over_workers(tensors: Sequence[Tensor | None], world_size: int) -> None:
    """Replace each tensor by its mean over the workers, in place; a None must be one on all of them."""
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
