"""The optimizers with known formulas, and the tensors that their steps use."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ire.optim.steps.adam import Adam
from ire.optim.steps.sgd import SGD
from ire.optim.tensors.shards import local

Numbers = Adam | SGD
Rule = type[Adam] | type[SGD]

RULES: dict[type[Optimizer], Rule] = {torch.optim.Adam: Adam, torch.optim.AdamW: Adam, torch.optim.SGD: SGD}
"""By exact type: a subclass may do anything."""


def rule_of(base: Optimizer) -> Rule | None:
    """The formula of this optimizer, if it and all of its options are known."""
    rule = RULES.get(type(base))
    return rule if rule is not None and all(rule.fits(group) for group in base.param_groups) else None


@dataclass(frozen=True)
class Movement:
    """One parameter that a step moves; tensors are this worker's parts."""

    parameter: Tensor
    group: dict[str, Any]
    state: dict[str, Any]
    p: Tensor
    g: Tensor
    buffers: tuple[Tensor, ...]


def movements(rule: Rule, base: Optimizer) -> list[Movement] | None:
    """All parameters that have a gradient; None if one has no state yet, or no formula applies to it."""
    found: list[Movement] = []
    for move in _each(rule, base):
        if move is None:
            return None
        found.append(move)
    return found


def _each(rule: Rule, base: Optimizer) -> Iterator[Movement | None]:
    for group in base.param_groups:
        for p in group["params"]:
            if p.grad is None:
                continue
            state = base.state.get(p, {})
            buffers = rule.buffers(state, group)
            if buffers is None or p.grad.layout != torch.strided or not p.is_floating_point():
                yield None
                return
            gradient = local(p.grad).resolve_neg()  # that of a conjugate may hold it with the sign flipped
            yield Movement(p, group, state, local(p), gradient, tuple(local(b) for b in buffers))
