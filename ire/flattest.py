"""Which coordinates are flat: the mask of Wang et al. 2024, Eq. 5, with exactly ⌊γp⌋ ones.

Eq. 5 takes every coordinate that is not above the ⌊γp⌋-th smallest curvature. In practice many are equal
(in a Transformer 96 % of the embedding's gradients are exactly zero), and all of them together may be far
more than the share γ. Here as many of the equal ones are taken as are needed, in the order of the
parameters and, inside one, of memory: a rule that knows no chance.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ire.blocks import blocks, flat, memory_order
from ire.radix import Keys, Threshold, common_keys, kth_smallest
from ire.shards import Alone, Spread


def flattest(
    scores: Sequence[Tensor],
    count: int,
    parameters: Sequence[Tensor] | None = None,
    workers: Alone | Spread | None = None,
    into: Sequence[Tensor | None] | None = None,
) -> list[Tensor] | None:
    """Mark the `count` smallest of |scores| over all tensors together: one uint8 mask of 0 and 1 a tensor.

    A score may come from a sequence that computes it at each access; it is read a few times. Masks have
    the strides of their scores (gaps aside). When the `parameters` of the scores are spread over
    `workers`, scores and masks are this worker's parts, and `count` is meant for all of them together.
    Old masks given as `into` are overwritten. Returns None, with nothing overwritten, if a score is not
    finite, wherever it is.
    """
    workers = workers or Alone()
    parameters = scores if parameters is None else parameters
    keys = common_keys(score.dtype for score in scores)
    axes = [memory_order(score) for score in scores]
    counted = workers.counted(parameters)

    def vectors() -> Iterator[Tensor]:
        """What this worker has to count."""
        return (flat(scores[i], axes[i]) for i, mine in enumerate(counted) if mine)

    threshold = kth_smallest(vectors, max(count, 1), keys, workers.total)
    if threshold is None:
        return None
    quotas = _quotas(scores, axes, keys, threshold, count - threshold.below, parameters, workers)
    masks = []
    for i, order in enumerate(axes):
        score, old = scores[i], None if into is None else into[i]
        masks.append(_empty_mask(score, order) if old is None or old.stride() != score.stride() else old)
        _fill(flat(masks[i], order), flat(score, order), keys, threshold.key, quotas[i])
    return masks


def _quotas(
    scores: Sequence[Tensor],
    axes: list[list[int] | None],
    keys: Keys,
    threshold: Threshold,
    ties: int,
    parameters: Sequence[Tensor],
    workers: Alone | Spread,
) -> list[int | None]:
    """How many keys equal to the threshold each mask takes; None for all, which needs no counting."""
    if ties >= threshold.equal:
        return [None] * len(axes)
    equal = [
        sum(int((keys.of(block) == threshold.key).sum()) for (block,) in blocks(flat(scores[i], order)))
        for i, order in enumerate(axes)
    ]
    return workers.quotas(torch.tensor(equal), parameters, ties)


def _empty_mask(score: Tensor, axes: list[int] | None) -> Tensor:
    if axes is None:
        return torch.empty(score.shape, dtype=torch.uint8, device=score.device)
    return torch.empty_like(score, dtype=torch.uint8)


def _fill(mask: Tensor, vector: Tensor, keys: Keys, threshold: int, quota: int | None) -> None:
    """Write one vector's mask, with the first `quota` of the keys that equal the threshold."""
    for piece, block in blocks(mask.view(torch.bool), vector):
        bits = keys.of(block)
        if quota is None:
            torch.le(bits, threshold, out=piece)
            continue
        torch.lt(bits, threshold, out=piece)
        if quota > 0:
            equal = (bits == threshold).nonzero().squeeze(1)[:quota]
            piece[equal] = True
            quota -= equal.numel()
