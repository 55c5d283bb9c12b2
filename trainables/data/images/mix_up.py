"""MixUp (Zhang et al. 2018) within pairs of neighbours, so that a worker's share of a batch mixes as the whole does."""

import numpy as np
import torch
from torch import Tensor

from ire.trial.seeds import derive_seed
from trainables.data.untyped import from_numpy


def mixing_shares(count: int, alpha: float, *seed: object) -> Tensor:
    """λ ~ Beta(alpha, alpha) for each pair of neighbours, (count,), equal in both; a pure function of `seed`."""
    draws = np.random.default_rng(derive_seed(*seed)).beta(alpha, alpha, (count + 1) // 2)
    return from_numpy(draws).float().repeat_interleave(2)[:count]


def mix_pairs(images: Tensor, labels: Tensor, share: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """λ x + (1 - λ) x', with x' the neighbour in the pair (an image without a pair is its own neighbour).

    `images` (b, ...) of any type, `labels` (b,), `share` λ (b,). Returns mixed images as float, the neighbours'
    labels, and λ.
    """
    index = torch.arange(len(images), device=images.device)
    partner = (index ^ 1).clamp(max=len(images) - 1)
    weight = share.view(-1, *[1] * (images.dim() - 1))
    return weight * images + (1 - weight) * images[partner], labels[partner], share
