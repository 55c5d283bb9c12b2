"""The boost for any base optimizer: look where the base step went, and go on."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor

from ire.blocks import blocks, flat, memory_order


@dataclass(frozen=True)
class Boost:
    """One parameter that is boosted in this step."""

    parameter: Tensor
    mask: Tensor | None
    """0 and 1 in uint8, the parameter's shape; None means every coordinate."""
    kappa: float


def step_and_boost(step: Callable[[], object], boosts: Iterable[Boost]) -> None:
    """Run `step`, then move each boosted coordinate on by κ times what it has moved.

    Wang et al. 2024, Eq. 4, with the whole displacement of the base as the update direction. Takes a copy
    of the boosted parameters for the time of the call, and updates them in place.
    """
    before = [(boost, boost.parameter.clone()) for boost in boosts]
    step()
    for boost, old in before:
        _go_on(boost, old)


def _go_on(boost: Boost, old: Tensor) -> None:
    """p ← p + κ n ⊙ (p − old), block by block."""
    p = boost.parameter
    axes = memory_order(p)
    if axes is None:  # gaps in memory: no flat view to write through
        moved = p - old
        p.add_(moved if boost.mask is None else moved.mul_(boost.mask), alpha=boost.kappa)
        return
    vectors = [flat(t, axes) for t in (p, old)]
    if boost.mask is None:
        for new, was in blocks(*vectors):
            new.add_(new - was, alpha=boost.kappa)
        return
    for new, was, mask in blocks(*vectors, flat(boost.mask, axes)):
        # A uint8 operand would make torch convert element by element; converting first is 5 times faster.
        new.addcmul_(new - was, mask.to(new.dtype), value=boost.kappa)
