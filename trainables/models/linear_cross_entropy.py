"""Cross-entropy of a linear output layer in chunks of rows: the logits of a whole batch never exist.

36,000 tokens and a vocabulary of 50,304 make 7.2 GB of logits in single precision, and a softmax and its gradient
add twice as much. Here the gradient is computed with the loss, one chunk at a time, and stored only for the hidden
states and the weight.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK_ELEMENTS = 1 << 27
"""The maximum number of logits in a chunk: 512 MiB in single precision."""
IGNORED = -100
"""The target that does not count, as in `torch.nn.functional.cross_entropy`."""


def needs_chunks(rows: int, vocabulary: int) -> bool:
    """Whether the logits of that many rows are more than one chunk."""
    return rows * vocabulary > CHUNK_ELEMENTS


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, *, uniforms: Tensor | None = None
) -> Tensor:
    """The mean of the cross-entropy of `hidden` (n, d) · `weight` (v, d)ᵀ against `targets` (n,), in nats.

    Rows whose target is `IGNORED` do not count; if none counts the result is NaN. With `uniforms` (n,) in [0, 1)
    the labels are drawn from the softmax of each row's logits (Wang et al. 2024, Eq. 6) and `targets` only say
    which rows count. The products are in autocast's type where that is on, everything else is in single
    precision. It can be differentiated once.
    """
    return _LinearCrossEntropy.apply(hidden, weight, targets, uniforms, CHUNK_ELEMENTS)


@torch.no_grad()
def linear_metric_sums(hidden: Tensor, weight: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """The sums of loss and accuracy over the rows, and their number as `count`; shapes as above."""
    loss = torch.zeros((), device=hidden.device)
    correct = torch.zeros((), dtype=torch.int64, device=hidden.device)
    for logits, rows in _chunks(*_products(hidden, weight), CHUNK_ELEMENTS):
        labels = targets[rows]
        loss = loss + (logits.logsumexp(-1) - _picked(logits, labels)).sum()
        correct = correct + (logits.argmax(-1) == labels).sum()
    return {"loss": loss, "accuracy": correct, "count": torch.full_like(correct, len(targets))}


class _LinearCrossEntropy(torch.autograd.Function):
    """Loss and gradients in one pass over the chunks: three products per chunk, as in forward and backward."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, uniforms: Tensor | None, elements: int
    ) -> Tensor:
        h, w = _products(hidden, weight)
        counts = targets != IGNORED
        share = 1 / counts.sum().float()
        loss = torch.zeros((), device=hidden.device)
        of_hidden: list[Tensor] = []
        of_weight = None
        for logits, rows in _chunks(h, w, elements):
            labels = targets[rows] if uniforms is None else drawn(logits, uniforms[rows])
            kept = counts[rows]
            labels = torch.where(kept, labels, 0)
            normaliser = logits.logsumexp(-1)
            loss = loss + ((normaliser - _picked(logits, labels)) * kept).sum()
            gradient = (logits - normaliser[:, None]).exp()
            gradient = gradient.scatter_add(1, labels[:, None], torch.full_like(gradient[:, :1], -1.0))
            gradient = (gradient * (kept * share)[:, None]).to(w.dtype)
            if ctx.needs_input_grad[0]:
                of_hidden.append(gradient @ w)
            if ctx.needs_input_grad[1]:
                product = (gradient.t() @ h[rows]).float()
                of_weight = product if of_weight is None else of_weight + product
        ctx.save_for_backward(
            torch.cat(of_hidden).to(hidden.dtype) if of_hidden else None,
            None if of_weight is None else of_weight.to(weight.dtype),
        )
        return loss * share

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride] - autograd passes them by position
        of_hidden, of_weight = ctx.saved_tensors
        return (
            None if of_hidden is None else of_hidden * outer,
            None if of_weight is None else of_weight * outer,
            None,
            None,
            None,
        )


def drawn(logits: Tensor, uniforms: Tensor) -> Tensor:
    """Labels (n,) drawn from softmax(`logits` (n, v)) by inverting the distribution function at `uniforms` (n,).

    The labels that `ire.optim.sampled_nll` draws from the same numbers.
    """
    cumulative = logits.softmax(-1).cumsum(-1)
    labels = torch.searchsorted(cumulative, uniforms[:, None] * cumulative[:, -1:], right=True)
    return labels.squeeze(-1).clamp_(max=logits.shape[-1] - 1)


@torch.no_grad()
def drawn_by_blocks(logits: Tensor, uniforms: Tensor, width: int = 128) -> Tensor:
    """The labels of `drawn` up to rounding, without its arrays of all shares: for a compiler.

    First finds the block of `width` labels in which the distribution function passes the number, then the label in it.
    """
    count = logits.shape[-1]
    normaliser = logits.float().logsumexp(-1, keepdim=True)
    shares = F.pad((logits.float() - normaliser).exp(), (0, -count % width))
    sums = torch.unflatten(shares, -1, (-1, width)).sum(-1)
    cumulative = sums.cumsum(-1)
    target = uniforms[:, None] * cumulative[:, -1:]
    block = torch.searchsorted(cumulative, target, right=True).clamp(max=sums.shape[-1] - 1)
    before = cumulative.gather(1, block) - sums.gather(1, block)
    places = block * width + torch.arange(width, device=logits.device)
    inside = (logits.gather(1, places.clamp(max=count - 1)).float() - normaliser).exp()
    passed = inside.masked_fill(places >= count, 0.0).cumsum(-1) + before <= target
    return (block.squeeze(1) * width + passed.sum(-1).clamp(max=width - 1)).clamp(max=count - 1)


def _products(hidden: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Both factors in the type of their product."""
    kind = hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
    return hidden.to(dtype), weight.to(dtype)


def _chunks(h: Tensor, w: Tensor, elements: int) -> Iterator[tuple[Tensor, slice]]:
    """(logits in single precision at least, the rows that they are of), one chunk after another."""
    size = max(1, elements // len(w))
    for start in range(0, len(h), size):
        rows = slice(start, start + size)
        logits = h[rows] @ w.t()
        yield logits if logits.dtype == torch.float64 else logits.float(), rows


def _picked(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.gather(1, labels[:, None]).squeeze(1)
