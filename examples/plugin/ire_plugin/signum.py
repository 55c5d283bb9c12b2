"""The sign of the momentum (Bernstein et al. 2018)."""

import torch


class Signum(torch.optim.Optimizer):
    ire_method = {"settings": {"momentum": {"search": {"linear": [0.5, 0.99], "published": 0.9}}}}  # noqa: RUF012

    def __init__(self, params, lr: float = 1e-3, momentum: float = 0.9, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        with torch.enable_grad():
            loss = closure() if closure else None
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                m.lerp_(p.grad, 1 - group["momentum"])
                p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(group["lr"] * m.sign())
        return loss
