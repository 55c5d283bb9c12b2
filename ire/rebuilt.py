"""The boost after the base's own fused step: the displacement is worked out again from its state.

Saves the copy of all parameters that an unknown optimizer needs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from ire.blocks import blocks, flat_together
from ire.boost import Boost
from ire.displacement import step_and_boost
from ire.rules import Numbers, Rule, movements


class Rebuilt:
    """Lets the base step, then adds κ n ⊙ Δ with Δ from its buffers and the parameters after the step."""

    name = "rebuilt"

    def __init__(self, rule: Rule, *, boost_weight_decay: bool = True) -> None:
        self.rule = rule
        self.boost_weight_decay = boost_weight_decay

    def step(self, base: Optimizer, boosts: Sequence[Boost]) -> None:
        """One step of `base`, boosted."""
        if movements(self.rule, base) is None:
            step_and_boost(base.step, boosts)
            return
        base.step()
        moves = {move.parameter: move for move in movements(self.rule, base)}
        for boost in boosts:
            move = moves[boost.parameter]
            numbers = self.rule.at(move.group, move.time, self.boost_weight_decay)
            read = [move.g, *move.buffers] + ([] if boost.mask is None else [boost.mask])
            count = len(move.buffers)
            for p, g, *rest in blocks(*flat_together([move.p], read)):
                mask = rest[count] if rest[count:] else None
                boost_from_state(numbers, boost.kappa, p, g, tuple(rest[:count]), mask)


def boost_from_state(
    numbers: Numbers, kappa: float, p: Tensor, g: Tensor, buffers: tuple[Tensor, ...], mask: Tensor | None
) -> None:
    """p ← p + κ n ⊙ Δ, in single precision at least, when the base has just gone to p = θ + Δ."""
    dtype = torch.promote_types(p.dtype, torch.float32)
    wide = p.to(dtype)
    direction, size = numbers.displacement(wide, g.to(dtype), tuple(b.to(dtype) for b in buffers))
    if mask is None:
        wide.add_(direction, alpha=size * kappa)
    else:
        wide.addcmul_(direction, mask.to(dtype), value=size * kappa)
    if wide is not p:
        p.copy_(wide)
