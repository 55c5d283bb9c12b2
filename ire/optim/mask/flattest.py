"""Which coordinates are flat: the mask of Wang et al. 2024, Eq. 5, with exactly ⌊γp⌋ ones.

Eq. 5 takes every coordinate that is not above the ⌊γp⌋-th smallest curvature. In practice many are equal
(in a Transformer 96 % of the embedding's gradients are exactly zero), and all of them together may be far
more than the share γ. Here as many of the equal ones are taken as are needed, in the order of the
parameters and, inside one, of memory: a rule that knows no chance.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ire.optim.mask.keys import Keys, common_keys
from ire.optim.mask.selection import Threshold, kth_smallest
from ire.optim.tensors.blocks import COUNT_BLOCK, Scratch, blocks, flat, memory_order
from ire.optim.tensors.shards import Alone, Spread


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
    quotas = _quotas(counted, threshold, count - threshold.below, parameters, workers)
    masks = []
    for i, order in enumerate(axes):
        score, old = scores[i], None if into is None else into[i]
        masks.append(_empty_mask(score, order) if old is None or old.stride() != score.stride() else old)
        _fill(flat(masks[i], order), flat(score, order), keys, threshold.key, quotas[i])
    return masks


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
    quotas = workers.quotas(torch.tensor(equal), parameters, ties)
    return [
        None if mine and quota == all_ else quota
        for mine, quota, all_ in zip(counted, quotas, equal, strict=True)
    ]


def _empty_mask(score: Tensor, axes: list[int] | None) -> Tensor:
    if axes is None:
        return torch.empty(score.shape, dtype=torch.uint8, device=score.device)
    return torch.empty_like(score, dtype=torch.uint8)


def _fill(mask: Tensor, vector: Tensor, keys: Keys, threshold: int, quota: int | None) -> None:
    """Write one vector's mask, with the first `quota` of the keys that equal the threshold."""
    scratch = Scratch(), Scratch()
    for piece, block in blocks(mask, vector, size=COUNT_BLOCK):
        bits = keys.of(block, scratch[0])
        equal = torch.eq(bits, threshold, out=scratch[1].like(bits)) if quota else None
        here = 0 if equal is None else int(equal.sum(dtype=torch.int32))
        # In place: a comparison into a Boolean tensor takes five times as long.
        takes_all = quota is None or 0 < here <= quota
        piece.copy_(bits.le_(threshold) if takes_all else bits.lt_(threshold))
        if here and not takes_all:
            piece[equal.nonzero().squeeze(1)[:quota]] = 1
        quota = None if quota is None else max(quota - here, 0)
