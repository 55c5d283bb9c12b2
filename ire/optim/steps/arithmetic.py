"""Fused multiply-adds whose scale may be a number (eager: one kernel) or a tensor (compiled: one graph)."""

import torch
from torch import Tensor

Number = float | Tensor


def wide(tensor: Tensor) -> Tensor:
    """`tensor` in at least single precision; itself if it already is."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def add_scaled_(target: Tensor, other: Tensor, scale: Number) -> Tensor:
    """target += scale · other"""
    if isinstance(scale, Tensor):
        return target.add_(other * scale)
    return target.add_(other, alpha=scale)


def add_product_(target: Tensor, a: Tensor, b: Tensor, scale: Number) -> Tensor:
    """target += scale · a · b"""
    if isinstance(scale, Tensor):
        return target.add_(a * b * scale)
    return target.addcmul_(a, b, value=scale)


def go_(p: Tensor, direction: Tensor, size: Number, kappa: Number | None, flat: Tensor | None) -> None:
    """p += size · (1 + κ n) ⊙ direction, with n = `flat` in p's dtype, or 1 everywhere; κ None means 0."""
    if kappa is None:
        add_scaled_(p, direction, size)
    elif flat is None:
        add_scaled_(p, direction, size * (1 + kappa))
    else:
        add_scaled_(p, direction, size)
        add_product_(p, direction, flat, size * kappa)
