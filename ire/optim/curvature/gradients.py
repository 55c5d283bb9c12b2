"""Gradients for the curvature: those of a loss on a graph that training will use again, and none left from a step."""

import weakref
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from ire.optim.tensors.shards import local


def has_gradient(p: Tensor) -> bool:
    return p.grad is not None


def gradients_of(loss: Tensor, parameters: Sequence[Tensor]) -> dict[Tensor, Tensor]:
    """∇loss by parameter, averaged over the workers of the default process group; the graph is kept.

    `loss.backward()` would not do under `DistributedDataParallel`: it reduces the first of two backward
    passes only, without an error, so that masks or even training gradients come to differ between workers.
    Parameters that the loss does not depend on are left out; with several workers they count as zero.

    Raises:
        ValueError: parameters spread over workers, whose gradients exist only inside `backward()`.
    """
    wanted = [p for p in parameters if p.requires_grad]
    if any(isinstance(p, DTensor) for p in wanted):
        raise ValueError(
            "update_mask(loss) does not work with sharded parameters; run a curvature pass of its own: "
            "sampled_nll(model(inputs)).backward() and update_mask()"
        )
    with torch.enable_grad():
        found = torch.autograd.grad(loss, wanted, retain_graph=True, allow_unused=True)
    workers = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
    if workers == 1:
        return {p: g for p, g in zip(wanted, found, strict=True) if g is not None}
    # Fresh tensors: two parameters that are added have one and the same gradient, and others may be expanded.
    gradients = [
        torch.zeros_like(p) if g is None else g / workers for p, g in zip(wanted, found, strict=True)
    ]
    del found
    for pending in [dist.all_reduce(g, async_op=True) for g in gradients]:
        pending.wait()
    return dict(zip(wanted, gradients, strict=True))


class Spent:
    """A gradient that a step has used, and that has to be cleared before the next curvature backward."""

    def __init__(self, gradient: Tensor) -> None:
        self._gradient = weakref.ref(gradient)
        self._version = gradient._version

    def is_it(self, gradient: Tensor | None) -> bool:
        return gradient is not None and gradient is self._gradient()

    def is_cleared(self) -> bool:
        """Whether it was set to zero in place since the step."""
        gradient = self._gradient()
        return gradient is not None and gradient._version != self._version and not local(gradient).any()
