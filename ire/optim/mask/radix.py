"""The exact k-th smallest of many integer keys, digit by digit: no sort, no copy.

Count how many keys have each leading digit, pick the digit in which the k-th lies, count the next digit
among those alone. Counts add up over tensors, and over workers that each hold a part.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from ire.optim.mask.keys import Keys
from ire.optim.tensors.blocks import Scratch

Total = Callable[[Tensor], Tensor]
"""Adds a table of counts (int64, on the CPU) over the workers."""


class Rank(NamedTuple):
    """A key and its rank."""

    key: int
    below: int
    """How many keys are smaller."""
    equal: int
    """How many keys are equal, itself included."""


def kth_key(blocks: Callable[[], Iterable[Tensor]], k: int, keys: Keys, total: Total) -> Rank | None:
    """The k-th smallest (k from 1) key of all `blocks`, walked over once a digit; None if any is not finite.

    A table of 64 Ki counts is added up for each block, which may be overwritten once the next one is requested.
    """
    prefix, below, equal = 0, 0, 0
    for shift, width in keys.digits:
        leading, first = (shift, width) == keys.digits[0], prefix << (shift + width)
        table = torch.zeros(1 << width, dtype=torch.int64, device="cpu")
        picker = Picker(first, first + (1 << (shift + width)))
        for block in blocks():
            if not leading:
                picker.flag(block)
                block = picker.picked(block) - first
            table += torch.bincount(block.bitwise_right_shift(shift), minlength=1 << width).cpu()
        counts = total(table)
        if leading and counts[keys.infinity >> shift :].any():
            return None
        cumulative = counts.cumsum(0)
        digit = int(torch.searchsorted(cumulative, k - below))
        below += int(cumulative[digit] - counts[digit])
        equal = int(counts[digit])
        prefix = (prefix << width) | digit
    return Rank(prefix, below, equal)


class Picker:
    """Picks the keys in [`first`, `end`) from one block after another.

    A comparison into a Boolean tensor takes five times as long as one into its operands' own type, and
    fresh memory for it as long again: hence the buffers.
    """

    def __init__(self, first: int, end: int) -> None:
        self._first, self._end = first, end
        self._scratch = [Scratch(), Scratch(), Scratch()]
        self._flags = torch.empty(0, device="cpu")

    def flag(self, keys: Tensor) -> int:
        """Take a block; returns how many of its keys are below `first`."""
        compared, smaller, self._flags = (
            scratch.like(keys, dtype)
            for scratch, dtype in zip(self._scratch, (keys.dtype, torch.uint8, torch.uint8), strict=True)
        )
        smaller.copy_(torch.lt(keys, self._first, out=compared))
        below = int(compared.sum(dtype=torch.int32))
        self._flags.copy_(torch.lt(keys, self._end, out=compared)).bitwise_xor_(smaller)
        return below

    def flagged(self) -> int:
        """How many keys of the block are between."""
        return int(torch.count_nonzero(self._flags))

    def picked(self, keys: Tensor) -> Tensor:
        """Those keys, in their order; `keys` is the block that was flagged."""
        whole = keys.numel() - keys.numel() % 8
        words = self._flags[:whole].view(torch.int64).nonzero().squeeze(1)  # eight keys at a time
        near = torch.cat([keys[:whole].view(-1, 8)[words].view(-1), keys[whole:]])
        return near[(near >= self._first) & (near < self._end)]
