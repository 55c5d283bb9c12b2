"""The learning rate as a pure function of the step, so that a resumed trial has nothing to restore."""

import math


def lr_factor(step: int, *, horizon: int, warmup_fraction: float, final_lr_fraction: float) -> float:
    """The learning rate of optimizer step `step` (0 is the first) as a share of its peak.

    Linear warm-up over `warmup_fraction` of the `horizon` (steps), the first step already above zero, then a
    cosine down to `final_lr_fraction` (Wang et al. 2024, Appendix C).
    """
    warmup = round(warmup_fraction * horizon)
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, horizon - warmup)
    return final_lr_fraction + (1 - final_lr_fraction) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
