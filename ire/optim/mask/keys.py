"""Magnitudes as integers: the bits of a non-negative IEEE float are in the order of the floats."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ire.optim.tensors.blocks import Scratch


@dataclass(frozen=True)
class Keys:
    """How one floating-point format becomes integer keys."""

    floating: torch.dtype
    integer: torch.dtype
    digits: tuple[tuple[int, int], ...]
    """(shift, width) in bits, leading digit first; the sign bit is left out."""
    infinity: int
    """The key of +inf; every key from here on is not finite."""

    def of(self, values: Tensor, scratch: Scratch | None = None) -> Tensor:
        """The keys of |values|, fresh or in the memory of `scratch`."""
        values = values.resolve_neg().to(self.floating)
        bits, magnitude = values.view(self.integer), torch.iinfo(self.integer).max
        return torch.bitwise_and(bits, magnitude, out=None if scratch is None else scratch.like(bits))


_HALF = ((0, 15),)
_FORMATS = {
    torch.float16: Keys(torch.float16, torch.int16, _HALF, 0x7C00),
    torch.bfloat16: Keys(torch.bfloat16, torch.int16, _HALF, 0x7F80),
    torch.float32: Keys(torch.float32, torch.int32, ((16, 15), (0, 16)), 0x7F800000),
    torch.float64: Keys(
        torch.float64, torch.int64, ((48, 15), (32, 16), (16, 16), (0, 16)), 0x7FF0000000000000
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
