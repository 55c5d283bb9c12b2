"""Columns of a report beside its losses: the state of IRE, the machine; non-finite numbers become None."""

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ire.optim import IRE
from ire.trial.report import FlatFraction
from trainables.training.placement import peak_memory_mib


def of_ire(optimizer: Optimizer, *, start: int, step: int) -> dict[str, Any]:
    """The state of IRE, which boosts from `start` on, after `step` steps; empty for any other optimizer."""
    if not isinstance(optimizer, IRE):
        return {}
    seen = optimizer.diagnostics()
    return {
        "kappa": seen["kappa_in_force"],
        "ire_start": start if step >= start else None,
        "flat_fraction": seen["flat_fraction"],
        "skipped_refreshes": seen["skipped_refreshes"],
        "mask_overlap": seen["overlap_beyond_chance"],
        "zero_curvature": seen["zero_curvature"],
    }


def flat_fractions(optimizer: Optimizer | None, model: nn.Module | None) -> dict[str, FlatFraction]:
    """What IRE's current mask holds of each parameter tensor, by parameter name; empty without IRE."""
    if not isinstance(optimizer, IRE) or model is None:
        return {}
    shares = optimizer.flat_fractions()
    return {name: FlatFraction(shares[p], p.numel()) for name, p in model.named_parameters() if p in shares}


def of_the_machine(device: torch.device, *, compiles: bool, warmup_seconds: float) -> dict[str, Any]:
    """Warm-up and memory; empty on a CPU without compiling."""
    if device.type == "cpu" and not compiles:
        return {}
    return {"warmup_seconds": warmup_seconds} | peak_memory_mib(device)


def finite(value: Any) -> Any:
    """None for a float that JSON cannot hold."""
    return value if not isinstance(value, float) or value - value == 0 else None
