"""The boost for schedule-free optimizers, which keep three sequences of weights.

    z ← z + Δ                              the step of the base method
    x ← (1 − c) x + c z                    the average that is evaluated
    y = (1 − β) z + β x                    what the parameters hold in training

Defazio et al. 2024, "The Road Less Scheduled". The boost belongs to Δ: a boost of y alone would leave z and the
average behind, and the next step would undo it. So z moves on by κ n ⊙ Δ, x by c and y by 1 − β (1 − c) times as
much. Most implementations store z alone; the reference ones of the package schedulefree store x and y as well.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from ire.optim.steps.arithmetic import wide
from ire.optim.steps.boost import Boost
from ire.optim.tensors.shards import local


def is_schedule_free(base: Optimizer) -> bool:
    """Whether the base stores z itself, as the optimizers of pytorch_optimizer and schedulefree do."""
    return any("ScheduleFree" in kind.__name__ for kind in type(base).__mro__) and all(
        "weight_sum" in group and ("betas" in group or "momentum" in group) for group in base.param_groups
    )


class ScheduleFree:
    """Runs the base's step, then moves z and y on."""

    name = "schedule-free"

    def step(self, base: Optimizer, boosts: Sequence[Boost]) -> None:
        """One step of `base`, boosted."""
        before = [_z(base, boost.parameter).clone() for boost in boosts]
        sums = [float(group["weight_sum"]) for group in base.param_groups]
        base.step()
        shares = {
            p: _shares(group, total)
            for group, total in zip(base.param_groups, sums, strict=True)
            for p in group["params"]
        }
        for boost, was in zip(boosts, before, strict=True):
            state = base.state.get(boost.parameter, {})
            z, (of_x, of_y) = _z(base, boost.parameter), shares[boost.parameter]
            moved = (wide(z) - wide(was)).mul_(boost.kappa)
            if boost.mask is not None:
                moved.mul_(boost.mask)
            stored = [("x", of_x), ("y", of_y)]
            sequences = [
                (state[name], share) for name, share in stored if isinstance(state.get(name), Tensor)
            ]
            for sequence, share in [(z, 1.0), (boost.parameter, of_y), *sequences]:
                part = local(sequence)
                part.copy_(wide(part).add(moved, alpha=share))


def _z(base: Optimizer, p: Tensor) -> Tensor:
    """This worker's part of z; before the first step it is the parameter."""
    return local(base.state.get(p, {}).get("z", p))


def _shares(group: dict[str, Any], sum_before: float) -> tuple[float, float]:
    """(c, 1 − β (1 − c)): how far x and y follow z in the step that was taken."""
    total = float(group["weight_sum"])
    c = (total - sum_before) / total if total else 0.0
    beta = float(group["betas"][0] if "betas" in group else group["momentum"])
    if group.get("decoupling_c", 0) > 0:
        c = min(1.0, c * (1.0 - beta) * group["decoupling_c"])
    return c, 1 - beta * (1 - c)
