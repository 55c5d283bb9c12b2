"""The boost for any base optimizer: look where the base step went, and go on."""

from collections.abc import Callable, Sequence

from torch import Tensor
from torch.optim import Optimizer

from ire.blocks import blocks, flat_together
from ire.boost import Boost
from ire.shards import local


class Measured:
    """Runs the base's step, then moves each boosted coordinate on by κ times what it has moved.

    Wang et al. 2024, Eq. 4, with the whole displacement of the base as the update direction. Takes a copy
    of the boosted parameters for the time of the step.
    """

    name = "measured"

    def step(self, base: Optimizer, boosts: Sequence[Boost]) -> None:
        """One step of `base`, boosted."""
        step_and_boost(base.step, boosts)


def step_and_boost(step: Callable[[], object], boosts: Sequence[Boost]) -> None:
    """Run `step` and boost what it did; parameters are updated in place."""
    before = [(boost, local(boost.parameter).clone()) for boost in boosts]
    step()
    for boost, old in before:
        read = [old] if boost.mask is None else [old, boost.mask]
        for new, was, *mask in blocks(*flat_together([local(boost.parameter)], read)):
            go_on(new, was, mask[0] if mask else None, boost)


def go_on(p: Tensor, was: Tensor, mask: Tensor | None, boost: Boost) -> None:
    """p ← p + κ n ⊙ (p − was), for one block of the boosted parameter."""
    moved = p - was
    if boost.plain_decay:
        moved.add_(was, alpha=boost.plain_decay)
    if mask is None:
        p.add_(moved, alpha=boost.kappa)
    else:
        # An operand in uint8 would be converted element by element; converted first it costs a fifth.
        p.addcmul_(moved, mask.to(p.dtype), value=boost.kappa)
