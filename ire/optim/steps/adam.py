"""Adam and AdamW with the boost inside the update, and their displacement rebuilt from their state.

    m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
    Δ = −η (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε) − η λ θ
    θ ← θ + (1 + κ n) ⊙ Δ

Loshchilov & Hutter 2019, Algorithm 2, with Wang et al. 2024, Eq. 4. Adam's own, coupled, weight decay goes
into the gradient instead: g ← g + λ θ.
"""

# Torch does not list its foreach and fused kernels.
# pyright: reportPrivateImportUsage=false, reportPrivateUsage=false

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ire.optim.steps.arithmetic import Number, add_product_, add_scaled_, go_


class Adam(NamedTuple):
    """The numbers of one step, bias corrections folded in: Δ = −size · (m / (√v + eps) + pull · θ).

    Numbers that do not apply are None. All may be 0-dimensional tensors, for a compiled step.
    """

    beta1: Number
    beta2: Number
    size: Number
    eps: Number
    pull: Number | None
    """Decoupled weight decay, boosted with the rest; relative to `size`, so that η may be 0."""
    plain_decay: Number | None
    """η λ of decoupled weight decay that is not boosted."""
    coupled: Number | None

    rebuilds_cheaply = False  # a root and a quotient cost more than copying a block and subtracting

    @staticmethod
    def fits(group: dict[str, Any]) -> bool:
        """Whether this form covers the group's options."""
        return not (group["amsgrad"] or group["maximize"] or group["capturable"] or group["differentiable"])

    @staticmethod
    def keeps_gradients(group: dict[str, Any]) -> bool:
        """Whether the base's own step leaves p.grad as it was."""
        return True

    @staticmethod
    def rebuilds(group: dict[str, Any]) -> bool:
        """Whether θ can be recovered after the step: at η λ = 1 the step erases it."""
        decay = float(group["weight_decay"]) if group["decoupled_weight_decay"] else 0.0
        return abs(1 - float(group["lr"]) * decay) >= 0.5

    @staticmethod
    def buffers(state: dict[str, Any], group: dict[str, Any]) -> tuple[Tensor, ...] | None:
        """(m, v), or None before the base's first step."""
        return (state["exp_avg"], state["exp_avg_sq"]) if state else None

    @classmethod
    def at(cls, group: dict[str, Any], t: float, boost_weight_decay: bool) -> "Adam":
        """The numbers of step t, counted from 1."""
        beta1, beta2 = (float(beta) for beta in group["betas"])
        lr, weight_decay = float(group["lr"]), float(group["weight_decay"]) or None
        decoupled = weight_decay if group["decoupled_weight_decay"] else None
        unbias, root = 1 - beta1**t, (1 - beta2**t) ** 0.5
        return cls(
            beta1=beta1,
            beta2=beta2,
            size=lr * root / unbias,
            eps=group["eps"] * root,
            pull=decoupled * unbias / root if decoupled and boost_weight_decay else None,
            plain_decay=lr * decoupled if decoupled and not boost_weight_decay else None,
            coupled=None if decoupled else weight_decay,
        )

    @staticmethod
    def fused(group: dict[str, Any], t: float) -> Callable[..., object]:
        """torch's fused kernel for step t, as a function of (p, g, m, v) that updates p, m and v."""
        kernel = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
        beta1, beta2 = (float(beta) for beta in group["betas"])
        clock = torch.tensor(float(t), dtype=torch.float32, device="cpu")
        options: dict[str, Any] = {
            "lr": float(group["lr"]),
            "beta1": beta1,
            "beta2": beta2,
            "eps": float(group["eps"]),
        }
        options |= {"weight_decay": float(group["weight_decay"]), "amsgrad": False, "maximize": False}

        def step(p: Tensor, g: Tensor, m: Tensor, v: Tensor) -> None:
            kernel([p], [g], [m], [v], [], [clock], **options)

        return step

    def update(
        self, p: Tensor, g: Tensor, buffers: tuple[Tensor, ...], kappa: Number | None, flat: Tensor | None
    ) -> None:
        """One whole step in place; κ and n as in `go_`."""
        m, v = buffers
        if self.coupled is not None:
            g = add_scaled_(g.clone(), p, self.coupled)
        m.lerp_(g, 1 - self.beta1)
        add_product_(v.mul_(self.beta2), g, g, 1 - self.beta2)
        if self.plain_decay is not None:
            p.mul_(1 - self.plain_decay)
        direction = self._direction(m, v)
        if self.pull is not None:
            add_scaled_(direction, p, self.pull)
        go_(p, direction, -self.size, kappa, flat)

    def displacement(self, p: Tensor, g: Tensor, buffers: tuple[Tensor, ...]) -> tuple[Tensor, Number]:
        """The part of Δ that is boosted, after the base's step from θ to p = θ + Δ.

        Returned as (direction, size); it is their product.
        """
        direction = self._direction(*buffers)
        if self.pull is None:
            return direction, -self.size
        # θ = (p + size · m / (√v + eps)) / (1 − size · pull) on the right-hand side of Δ
        return add_scaled_(direction, p, self.pull), -self.size / (1 - self.size * self.pull)

    def _direction(self, m: Tensor, v: Tensor) -> Tensor:
        """m / (√v + eps), in fresh memory."""
        direction = v.sqrt().add_(self.eps)
        return torch.div(m, direction, out=direction)
