"""Measures a step of the optimizer alone, at the end of a turn of the quiet pass."""

import time
from statistics import median
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ire.optim import IRE
from trainables.training.optimizers import set_mode, wants_curvature

STEPS = 6
"""The number of timed steps; the first one warms up and is not counted."""
GRADIENT = 1e-4
"""The value of all gradient entries while the optimizer is timed; the cost does not depend on it."""


def optimizer_seconds(optimizer: Optimizer, model: nn.Module, device: torch.device) -> float | None:
    """Seconds per step without forward, backward and masks; None for an optimizer that cannot step like this.

    The model and the optimizer cannot be used afterwards.
    """
    taken: list[float] = []
    set_mode(optimizer, training=True)
    for _ in range(STEPS):
        if wants_curvature(optimizer):
            if not isinstance(optimizer, IRE):  # it needs more than a gradient
                return None
            _fill(model)
            optimizer.update_mask()
        _fill(model)
        began = _now(device)
        cast(Any, optimizer).step(_closure)  # torch's stubs want a closure that returns a float
        taken.append(_now(device) - began)
    return median(taken[1:])


def _closure() -> Tensor:
    return torch.zeros(())


def _fill(model: nn.Module) -> None:
    for p in model.parameters():
        if p.requires_grad:
            p.grad = torch.full_like(p, GRADIENT)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
