"""Windows of a long row of tokens: random ones to train on, evenly spaced ones to evaluate."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ire.invalid_input import InvalidInput
from ire.optim.tensors.typed import numbers
from ire.trial.seeds import generator
from trainables.data.untyped import from_numpy


def random_windows(
    tokens: np.ndarray, *, context: int, batch_size: int, seed: int, start: int
) -> Iterator[Tensor]:
    """From step `start` on, (batch_size, context + 1) int32: the inputs, and one more token for the last target."""
    _check(tokens, context)
    step = start
    while True:
        draws = generator(seed, "order", step)
        yield windows(tokens, torch.randint(len(tokens) - context, (batch_size,), generator=draws), context)
        step += 1


def spaced_windows(tokens: np.ndarray, *, context: int, count: int, batch_size: int) -> Iterator[Tensor]:
    """`count` windows from beginning to end, fewer if more would overlap, in batches."""
    _check(tokens, context)
    count = max(1, min(count, (len(tokens) - 1) // context))
    offsets = torch.linspace(0, len(tokens) - context - 1, count, dtype=torch.float64).long()
    for part in torch.split(offsets, batch_size):
        yield windows(tokens, part, context)


def windows(tokens: np.ndarray, offsets: Tensor, context: int) -> Tensor:
    """The context + 1 tokens from each of the `offsets` (b,), as (b, context + 1) int32."""
    rows = [tokens[offset : offset + context + 1] for offset in numbers(offsets)]
    return from_numpy(np.stack(rows).astype(np.int32))


def _check(tokens: np.ndarray, context: int) -> None:
    if len(tokens) <= context:
        raise InvalidInput(f"{len(tokens)} tokens are too few for one window of {context} and the next one")
