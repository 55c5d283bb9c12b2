"""An optimizer of your own as a method of a sweep: its settings are read from its constructor.

    ire train digits lion:Lion --set lr=0.001
    ire sweep digits --methods adamw,lion:Lion

Lion is Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023, Program 1.
"""

import torch
from torch.optim import Optimizer


class Lion(Optimizer):
    """The sign of an interpolation of momentum and gradient, with decoupled weight decay."""

    def __init__(
        self, params, lr: float = 1e-4, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in (p for p in group["params"] if p.grad is not None):
                momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(torch.lerp(momentum, p.grad, 1 - beta1).sign(), alpha=-group["lr"])
                momentum.lerp_(p.grad, 1 - beta2)
        return loss
