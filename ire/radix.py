"""The exact k-th smallest of billions of magnitudes, by counting: no sort, no copy, no concatenation.

The bits of a non-negative IEEE float, read as an integer (its *key*), are in the order of the floats. So
the k-th smallest is found digit by digit: count how many keys have each leading digit, pick the digit
in which the k-th lies, count the next digit among those alone. Two passes for fp32, one for half
precision. Counts add up over tensors, and over workers that each hold a part.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ire.blocks import COUNT_BLOCK, blocks


@dataclass(frozen=True)
class Keys:
    """How one floating-point format becomes integer keys."""

    floating: torch.dtype
    integer: torch.dtype
    digits: tuple[tuple[int, int], ...]
    """(shift, width) in bits, leading digit first; the sign bit is left out."""
    infinity: int
    """The key of +inf; every key from here on is not finite."""

    def of(self, values: Tensor) -> Tensor:
        """The keys of |values|: a fresh tensor of `integer`."""
        sign = torch.iinfo(self.integer).max
        return torch.bitwise_and(values.to(self.floating).view(self.integer), sign)


_HALF = ((0, 15),)
_FORMATS = {
    torch.float16: Keys(torch.float16, torch.int16, _HALF, 0x7C00),
    torch.bfloat16: Keys(torch.bfloat16, torch.int16, _HALF, 0x7F80),
    torch.float32: Keys(torch.float32, torch.int32, ((19, 12), (0, 19)), 0x7F800000),
    torch.float64: Keys(
        torch.float64, torch.int64, ((51, 12), (34, 17), (17, 17), (0, 17)), 0x7FF0000000000000
    ),
}


def common_keys(dtypes: Iterable[torch.dtype]) -> Keys:
    """The narrowest format that holds all of these exactly.

    Raises:
        ValueError: a dtype that is not a real float of 16, 32 or 64 bits.
    """
    common: torch.dtype | None = None
    for dtype in dtypes:
        if dtype not in _FORMATS:
            raise ValueError(
                f"curvature must be float16, bfloat16, float32 or float64, got {dtype}; "
                "exclude such parameters by a group with kappa=0"
            )
        common = dtype if common is None else torch.promote_types(common, dtype)
    if common is None:
        raise ValueError("there is no curvature to rank")
    return _FORMATS[common]


@dataclass(frozen=True)
class Threshold:
    """The k-th smallest key, and where it stands in the order."""

    key: int
    below: int
    """How many keys are smaller; less than k."""
    equal: int
    """How many keys are equal; below + equal is at least k."""


def kth_smallest(
    vectors: Callable[[], Iterator[Tensor]],
    k: int,
    keys: Keys,
    total: Callable[[Tensor], Tensor] = lambda counts: counts,
) -> Threshold | None:
    """The k-th smallest (k from 1) of |values| over all 1-D `vectors`; None if any is not finite.

    `vectors()` is walked once per digit and must give the same values each time. `total` adds a table
    of counts (int64, on the CPU) over the workers, each of which holds a part of the vectors.
    """
    prefix, below = 0, 0
    for shift, width in keys.digits:
        counts = total(_count_digits(vectors(), keys, prefix, shift, width))
        if (shift, width) == keys.digits[0] and counts[keys.infinity >> shift :].any():
            return None
        cumulative = counts.cumsum(0)
        digit = int(torch.searchsorted(cumulative, k - below))
        below += int(cumulative[digit] - counts[digit])
        prefix = (prefix << width) | digit
    return Threshold(prefix, below, int(counts[digit]))


def _count_digits(vectors: Iterator[Tensor], keys: Keys, prefix: int, shift: int, width: int) -> Tensor:
    """How often each value of a digit occurs among the keys that have `prefix` above it."""
    size, above = 1 << width, shift + width
    counts: dict[torch.device, Tensor] = {}
    for vector in vectors:
        if vector.device not in counts:
            counts[vector.device] = torch.zeros(size, dtype=torch.int64, device=vector.device)
        table = counts[vector.device]
        for (block,) in blocks(vector, size=COUNT_BLOCK):
            bits = keys.of(block)
            if (shift, width) == keys.digits[0]:
                table += torch.bincount(bits.bitwise_right_shift_(shift), minlength=size)
                continue
            # What shares the prefix becomes small when the prefix is taken away: few keys, a large table.
            bits ^= prefix << above
            few = bits[bits < 1 << above].bitwise_right_shift_(shift).long()
            table.scatter_add_(0, few, torch.ones_like(few))
    tables = [table.cpu() for table in counts.values()] or [torch.zeros(size, dtype=torch.int64)]
    return tables[0] if len(tables) == 1 else torch.stack(tables).sum(0)
