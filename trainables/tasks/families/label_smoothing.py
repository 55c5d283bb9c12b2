"""Label smoothing whose loss can reach zero, so that "IRE starts at training loss 0.1" can be taken literally."""

import math

from torch import Tensor
from torch.nn import functional as F


def smoothed_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """KL(smoothed targets ‖ softmax(logits (b, classes))), mean over the batch, in nats.

    `smoothing` is spread evenly over all classes (Szegedy et al. 2016). The loss is the cross-entropy minus the entropy
    of the smoothed targets, a constant, so gradients are the same. Wang et al.'s released code also uses a KL
    divergence, but spreads over the other classes only; their loss levels (≈ 0.1 on CIFAR) are below that entropy.
    """
    return F.cross_entropy(logits, targets, label_smoothing=smoothing) - entropy(smoothing, logits.shape[-1])


def entropy(smoothing: float, classes: int) -> float:
    """The entropy of a smoothed one-hot distribution, in nats."""
    if not smoothing:
        return 0.0
    rest = smoothing / classes
    kept = 1 - smoothing + rest
    return -(kept * math.log(kept) + (classes - 1) * rest * math.log(rest))
