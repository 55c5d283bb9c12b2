"""Which coordinates are flat: the mask of Wang et al. 2024, Eq. 5, with exactly ⌊γp⌋ ones.

Eq. 5 takes every coordinate whose curvature is not above the ⌊γp⌋-th smallest. In practice many are equal
(in a Transformer 96 % of the embedding's gradients are exactly zero), and together they may be far more than the
share γ. So the mask takes only as many of the equal ones as it needs, in the order of the parameters and, within
a parameter, of memory: a deterministic rule.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ire.optim.mask.keys import Keys, common_keys
from ire.optim.mask.on_gpu import flattest_on_gpu, ranked_here
from ire.optim.mask.selection import Threshold, kth_smallest
from ire.optim.tensors.blocks import COUNT_BLOCK, Scratch, blocks, flat, memory_order
from ire.optim.tensors.shards import Alone, Spread


@dataclass
class Tally:
    """Counts that are collected while masks are written, on this worker."""

    ranked: int = 0
    zeros: int = 0
    """Curvatures that are exactly zero."""
    before: int = 0
    """Ones in the overwritten masks."""
    kept: int = 0
    """How many of those the new masks also have."""


class ZeroCurvature(Exception):
    """Every curvature is exactly zero: no coordinate is flatter than another."""


def flattest(
    scores: Sequence[Tensor],
    count: int,
    parameters: Sequence[Tensor] | None = None,
    workers: Alone | Spread | None = None,
    into: Sequence[Tensor | None] | None = None,
    tally: Tally | None = None,
) -> list[Tensor] | None:
    """Mark the `count` smallest of |scores| over all tensors together: one uint8 mask of 0 and 1 a tensor.

    A score may come from a sequence that computes it at each access; it is read a few times. Masks have
    the strides of their scores (gaps aside). When the `parameters` of the scores are spread over
    `workers`, scores and masks are this worker's parts, and `count` is meant for all of them together.
    Old masks given as `into` are overwritten. Returns None, with nothing overwritten, if a score is not
    finite, on any worker.

    With a `tally`, counts are added to it, and scores that are all zero are refused.

    Raises:
        ZeroCurvature: all scores are zero; nothing was overwritten.
    """
    workers = workers or Alone()
    if isinstance(workers, Alone) and (held := ranked_here(scores)) is not None:
        return _on_gpu(held, count, into, tally)
    parameters = scores if parameters is None else parameters
    keys = common_keys(score.dtype for score in scores)
    axes = [memory_order(score) for score in scores]
    counted = workers.counted(parameters)

    def vectors() -> Iterator[Tensor]:
        """The vectors that this worker counts."""
        return (flat(scores[i], axes[i]) for i, mine in enumerate(counted) if mine)

    threshold = kth_smallest(vectors, max(count, 1), keys, workers.total)
    if threshold is None:
        return None
    if tally is not None and threshold.key == 0 and threshold.equal == sum(p.numel() for p in parameters):
        raise ZeroCurvature
    quotas = _quotas(counted, threshold, count - threshold.below, parameters, workers)
    masks: list[Tensor] = []
    for i, order in enumerate(axes):
        score, old = scores[i], None if into is None else into[i]
        reused = old if old is not None and old.stride() == score.stride() else None
        masks.append(_empty_mask(score, order) if reused is None else reused)
        if old is not None and reused is None:
            masks[i].copy_(old)
        target = flat(masks[i], order)
        _fill(target, flat(score, order), keys, threshold.key, quotas[i], old is not None, tally)
    return masks


def _on_gpu(
    scores: Sequence[Tensor], count: int, into: Sequence[Tensor | None] | None, tally: Tally | None
) -> list[Tensor] | None:
    found = flattest_on_gpu(scores, count, into, refuses_zeros=tally is not None)
    total = sum(score.numel() for score in scores)
    if tally is None:
        return found.masks
    if found.masks is None and found.zeros == total:
        raise ZeroCurvature
    if found.masks is not None:
        tally.ranked += total
        tally.zeros += found.zeros
        tally.before += found.before
        tally.kept += found.kept
    return found.masks


def _quotas(
    counted: list[bool],
    threshold: Threshold,
    ties: int,
    parameters: Sequence[Tensor],
    workers: Alone | Spread,
) -> list[int | None]:
    """How many keys equal to the threshold each mask takes; None for all, which needs no counting."""
    if ties >= threshold.equal:
        return [None] * len(counted)
    here = iter(threshold.equal_here)
    equal = [next(here) if mine else 0 for mine in counted]
    quotas = workers.quotas(torch.tensor(equal, device="cpu"), parameters, ties)
    return [
        None if mine and quota == all_ else quota
        for mine, quota, all_ in zip(counted, quotas, equal, strict=True)
    ]


def _empty_mask(score: Tensor, axes: list[int] | None) -> Tensor:
    if axes is None:
        return torch.empty(score.shape, dtype=torch.uint8, device=score.device)
    return torch.empty_like(score, dtype=torch.uint8)


def _fill(
    mask: Tensor,
    vector: Tensor,
    keys: Keys,
    threshold: int,
    quota: int | None,
    compare: bool,
    tally: Tally | None,
) -> None:
    """Write one vector's mask, with the first `quota` of the keys that equal the threshold.

    With `compare`, `mask` still holds the previous mask.
    """
    scratch = Scratch(), Scratch(), Scratch()
    for piece, block in blocks(mask, vector, size=COUNT_BLOCK):
        bits = keys.of(block, scratch[0])
        old = None
        if tally is not None:
            tally.ranked += bits.numel()
            tally.zeros += bits.numel() - int(torch.count_nonzero(bits))
            old = scratch[2].like(piece).copy_(piece) if compare else None
        equal = torch.eq(bits, threshold, out=scratch[1].like(bits)) if quota else None
        here = 0 if equal is None else int(equal.sum(dtype=torch.int32))
        # In place: a comparison into a Boolean tensor takes five times as long.
        takes_all = quota is None or 0 < here <= quota
        piece.copy_(bits.le_(threshold) if takes_all else bits.lt_(threshold))
        if equal is not None and here and not takes_all:
            piece[equal.nonzero().squeeze(1)[:quota]] = 1
        if tally is not None and old is not None:
            tally.before += int(torch.count_nonzero(old))
            tally.kept += int(torch.count_nonzero(old.bitwise_and_(piece)))
        quota = None if quota is None else max(quota - here, 0)
