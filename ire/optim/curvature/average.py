"""A running average of the curvature: one sampled batch is very noisy, several are less so."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ire.optim.tensors.shards import Alone, Spread
from ire.optim.tensors.typed import vector_norm


def average_in(
    averages: dict[Tensor, Tensor],
    parameters: Sequence[Tensor],
    scores: Sequence[Tensor],
    beta: float,
    squared: bool,
    workers: Alone | Spread,
) -> list[Tensor] | None:
    """F ← β F + (1 − β) h with h = score², or the score's magnitude if not `squared`; returns all F.

    The first h of a parameter starts its average, so there is no bias to correct. Averages are fp32 (fp64
    for fp64 scores) and updated in place. Returns None, with nothing changed, if a score (or its square) is
    not finite on any worker.
    """
    unusable = not _usable(scores, squared)
    if workers.total(torch.tensor([int(unusable)], device="cpu")).item():
        return None
    for p, score in zip(parameters, scores, strict=True):
        wide = score.to(torch.promote_types(score.dtype, torch.float32))
        h = wide.square() if squared else wide.abs()
        old = averages.get(p)
        if old is not None and old.shape == h.shape:
            h = old.to(h).lerp_(h, 1 - beta)  # in another dtype after `model.double()`
        averages[p] = h
    return [averages[p] for p in parameters]


def _usable(scores: Sequence[Tensor], squared: bool) -> bool:
    """Whether all scores, or their squares, are finite; waits for a GPU once."""
    flags: list[Tensor] = []
    for score in scores:
        if score.numel():
            wide = torch.promote_types(score.dtype, torch.float32)
            largest = vector_norm(score, float("inf"), dtype=wide)
            flags.append((largest.square() if squared else largest).isfinite())
    return not flags or bool(torch.stack([flag.to(flags[0].device) for flag in flags]).all())
