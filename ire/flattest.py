"""Which coordinates are flat: the mask of Wang et al. 2024, Eq. 5, with exactly ⌊γp⌋ ones.

Eq. 5 takes every coordinate that is not above the ⌊γp⌋-th smallest curvature. In practice many are equal
(in a Transformer 96 % of the embedding's gradients are exactly zero), and all of them together may be far
more than the share γ. Here as many of the equal ones are taken as are needed, in the order of the
parameters and, inside one, of memory: a rule that knows no chance and no worker.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ire.blocks import blocks, flat, memory_order
from ire.radix import Keys, Threshold, common_keys, kth_smallest


def flattest(scores: Sequence[Tensor], count: int) -> list[Tensor] | None:
    """Mark the `count` smallest of |scores| over all tensors together: one uint8 mask of 0 and 1 a tensor.

    A score may be given by a sequence that computes it at each access; it is read a few times. Masks
    have the strides of their scores (gaps aside). Returns None if a score is not finite.
    """
    keys = common_keys(score.dtype for score in scores)
    axes = [memory_order(score) for score in scores]

    def vectors():
        return (flat(score, order) for score, order in zip(scores, axes, strict=True))

    threshold = kth_smallest(vectors, max(count, 1), keys)
    if threshold is None:
        return None
    masks = [_empty_mask(score, order) for score, order in zip(scores, axes, strict=True)]
    ties = count - threshold.below
    for mask, vector, order in zip(masks, vectors(), axes, strict=True):
        ties -= _fill(flat(mask, order), vector, keys, threshold, ties)
    return masks


def _empty_mask(score: Tensor, axes: list[int] | None) -> Tensor:
    if axes is None:
        return torch.empty(score.shape, dtype=torch.uint8, device=score.device)
    return torch.empty_like(score, dtype=torch.uint8)


def _fill(mask: Tensor, vector: Tensor, keys: Keys, threshold: Threshold, ties: int) -> int:
    """Write one vector's mask, with at most `ties` of its keys equal to the threshold; returns how many."""
    taken = 0
    all_fit = ties >= threshold.equal
    for piece, block in blocks(mask.view(torch.bool), vector):
        bits = keys.of(block)
        if all_fit:
            torch.le(bits, threshold.key, out=piece)
            continue
        torch.lt(bits, threshold.key, out=piece)
        if taken < ties:
            equal = (bits == threshold.key).nonzero().squeeze(1)[: ties - taken]
            piece[equal] = True
            taken += equal.numel()
    return taken
