"""Gives an optimizer that takes a Hessian diagonal (Sophia) the Gauss-Newton-Bartlett estimate, through IRE's hook.

    every K steps:   ĝ = ∇ of the mean loss against labels that the model draws, over B predictions
                     h = γ B ĝ ⊙ ĝ

Liu et al. 2024 (Sophia-G), Algorithm 2; the update divides by γ times the running average of B ĝ².
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import Optimizer

from ire.optim.wrapping.wrapper import Wrapper


class SampledHessian(Wrapper):
    """`base.step(closure, hessian=...)` with a fresh diagonal every `interval` steps.

    The base's step count decides when one is due, so a checkpoint holds nothing of this wrapper.
    """

    def __init__(self, base: Optimizer, *, interval: int, gamma: float) -> None:
        super().__init__(base)
        self._interval, self._gamma = interval, gamma
        self._hessian: list[Tensor] | None = None

    @property
    def curvature_due(self) -> bool:
        """Whether the next step first needs a curvature backward and `update_curvature`."""
        return self._hessian is None and self.param_groups[0].get("step", 0) % self._interval == 0

    @torch.no_grad()
    def update_curvature(self, predictions: int) -> None:
        """Take h from the gradients of the mean loss over `predictions`, and clear these gradients."""
        scale = self._gamma * predictions
        self._hessian = [
            torch.zeros_like(p) if p.grad is None else p.grad.square().mul_(scale) for p in self.parameters()
        ]
        for p in self.parameters():
            p.grad = None

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        loss = cast(Any, self.base).step(closure, hessian=self._hessian)  # torch's stub has no `hessian`
        self._hessian = None
        return loss


def predictions(labels: Sequence[Tensor]) -> int:
    """The number of labels in the parts of a batch, without negative ones, which a loss ignores."""
    return sum(len(y) if y.is_floating_point() else int((y >= 0).sum()) for y in labels)
