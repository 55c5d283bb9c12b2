"""When IRE begins: at a share of the horizon, or earlier, once the training loss has fallen to a level.

The papers switch at a training loss of about 0.1 (CNNs on CIFAR), 0.5 (ViTs on CIFAR) or 1.5 (ResNet-50 on ImageNet;
Wang et al. 2024, Appendix C.1). Here the loss is a mean over a window of a hundredth of the horizon, about an epoch of
theirs, and is compared only at the end of a window, so the start depends only on the specification of the trial.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

WINDOWS = 100
"""The number of windows in a horizon."""


class LossTrigger:
    """Watches the training loss of a trial until it is at most `level`, which never happens with `level` 0.

    `mean` averages a scalar over all workers, so that all decide the same.
    """

    def __init__(
        self, level: float, *, horizon: int, device: torch.device, mean: Callable[[Tensor], Tensor]
    ) -> None:
        self._level, self._window, self._mean = level, max(1, horizon // WINDOWS), mean
        self._sum = torch.zeros((), device=device, dtype=torch.float64)

    @property
    def is_set(self) -> bool:
        """Whether there is anything to wait for."""
        return self._level > 0

    def reached(self, loss: Tensor, steps: int) -> bool:
        """Add the loss of step number `steps` (from 1); True if a window ends here and its mean is low enough."""
        self._sum += loss
        if steps % self._window:
            return False
        mean = self._mean(self._sum).item() / self._window
        self._sum.zero_()
        return mean <= self._level

    def settle(self) -> None:
        """Make the sum so far the same on all workers, since one of them writes the checkpoint."""
        self._sum = self._mean(self._sum)

    def state(self) -> float:
        return self._sum.item()

    def load(self, state: Any) -> None:
        self._sum.fill_(state)
