"""My optimizer: a step in the direction of the sign of the momentum."""

import torch
from torch.optim import Optimizer


class Signed(Optimizer):
    def __init__(self, params, lr: float = 3e-3, momentum: float = 0.9, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    average = self.state[p].setdefault("average", torch.zeros_like(p))
                    average.lerp_(p.grad, 1 - group["momentum"])
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.add_(average.sign(), alpha=-group["lr"])
        return loss
