"""SGD with the boost inside the update, and its displacement rebuilt from its state.

    g ← g + λ θ        b ← μ b + (1 − τ) g        d = b, or g + μ b (Nesterov), or g (μ = 0)
    θ ← θ − η (1 + κ n) ⊙ d

torch.optim.SGD with Wang et al. 2024, Eq. 4.
"""

# Torch does not list its foreach and fused kernels.
# pyright: reportPrivateImportUsage=false, reportPrivateUsage=false

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ire.optim.steps.arithmetic import Number, add_scaled_, go_


class SGD(NamedTuple):
    """The numbers of one step. Those that do not apply are None; all may be 0-dimensional tensors."""

    lr: Number
    coupled: Number | None
    momentum: Number | None
    fresh: Number | None
    """1 − τ, the weight of the new gradient in the buffer."""
    nesterov: bool

    rebuilds_cheaply = True  # the displacement is a multiple of the buffer

    @staticmethod
    def fits(group: dict[str, Any]) -> bool:
        """Whether this form covers the group's options."""
        return not (group["maximize"] or group["differentiable"])

    @staticmethod
    def keeps_gradients(group: dict[str, Any]) -> bool:
        """Whether the base's own step leaves p.grad as it was; torch's foreach may add μ b to it (Nesterov, λ = 0)."""
        overwrites = group["nesterov"] and not group["weight_decay"]
        return not overwrites or bool(group["fused"]) or group["foreach"] is False

    @staticmethod
    def rebuilds(group: dict[str, Any]) -> bool:
        """Whether θ can be recovered after the step: at η λ = 1 the step erases it."""
        return not group["weight_decay"] or abs(1 - float(group["lr"]) * float(group["weight_decay"])) >= 0.5

    @staticmethod
    def buffers(state: dict[str, Any], group: dict[str, Any]) -> tuple[Tensor, ...] | None:
        """(b,), () without momentum, or None before the base's first step."""
        if not group["momentum"]:
            return ()
        buffer = state.get("momentum_buffer")
        return None if buffer is None else (buffer,)

    @classmethod
    def at(cls, group: dict[str, Any], t: float, boost_weight_decay: bool) -> "SGD":
        """The numbers of any step: t has no influence."""
        momentum = float(group["momentum"]) or None
        return cls(
            lr=float(group["lr"]),
            coupled=float(group["weight_decay"]) or None,
            momentum=momentum,
            fresh=1 - float(group["dampening"]) if momentum and group["dampening"] else None,
            nesterov=bool(group["nesterov"]),
        )

    @staticmethod
    def fused(group: dict[str, Any], t: float) -> Callable[..., object]:
        """torch's fused kernel, as a function of (p, g, b), or (p, g) without momentum."""
        names = ("weight_decay", "momentum", "lr", "dampening")
        options: dict[str, Any] = {name: float(group[name]) for name in names}
        options["nesterov"] = bool(group["nesterov"])

        def step(p: Tensor, g: Tensor, *b: Tensor) -> None:
            torch._fused_sgd_([p], [g], [*b], maximize=False, is_first_step=False, **options)

        return step

    def update(
        self, p: Tensor, g: Tensor, buffers: tuple[Tensor, ...], kappa: Number | None, flat: Tensor | None
    ) -> None:
        """One whole step in place; κ and n as in `go_`."""
        if self.coupled is not None:
            g = add_scaled_(g.clone(), p, self.coupled)
        if self.momentum is not None:
            [b] = buffers
            add_scaled_(b.mul_(self.momentum), g, 1.0 if self.fresh is None else self.fresh)
            g = add_scaled_(g.clone(), b, self.momentum) if self.nesterov else b
        go_(p, g, -self.lr, kappa, flat)

    def displacement(self, p: Tensor, g: Tensor, buffers: tuple[Tensor, ...]) -> tuple[Tensor, Number]:
        """Δ as (direction, size), after the base's step from θ to p = θ + Δ."""
        if self.momentum is not None and not self.nesterov:
            return buffers[0], -self.lr
        if self.momentum is None and self.coupled is None:
            return g, -self.lr
        direction = g.clone()
        if self.momentum is not None:
            add_scaled_(direction, buffers[0], self.momentum)
        if self.coupled is None:
            return direction, -self.lr
        # θ = p − Δ on the right-hand side of Δ = −η (g + λ θ + μ b)
        return add_scaled_(direction, p, self.coupled), -self.lr / (1 - self.lr * self.coupled)
