"""Sharpness-aware minimisation, as an optimizer that others can wrap.

    g  = ∇L(w)
    e  = ρ g / ‖g‖            (adaptive: e = ρ w² ⊙ g / ‖|w| ⊙ g‖)
    gˢ = ∇L(w + e)
    base step at w with gˢ

Foret et al. 2021; the adaptive form is Kwon et al. 2021 (ASAM).
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from ire.optim.curvature.batch_norm import frozen_batch_norm
from ire.optim.curvature.leftovers import Owner
from ire.optim.steps.arithmetic import wide
from ire.optim.tensors.shards import local, whole
from ire.optim.tensors.typed import vector_norm
from ire.optim.wrapping.bases import inside
from ire.optim.wrapping.boostable import check_closure
from ire.optim.wrapping.groups import is_option
from ire.optim.wrapping.settings import check_number, check_switch
from ire.optim.wrapping.several_bases import as_one, bases_of
from ire.optim.wrapping.wrapper import Wrapper, without_global_hooks


class SAM(Wrapper):
    """Take the base's step with the gradient at a point ρ uphill (Euclidean norm over all parameters).

    `step(closure)` follows torch: the closure clears the gradients, runs forward and backward and returns the
    loss; it is called twice. With gradient accumulation it loops over the micro-batches. Clip inside the
    closure: the first clipping has no effect, since the ascent is normalised. Gradients are cleared before each
    pass even if the closure does not clear them. Groups with `maximize` climb in the descent direction.

    With `model` given, batch-norm statistics are updated by the first pass only, and if it is a
    `DistributedDataParallel`, compiled or not, the first pass does not synchronise: each worker climbs along the
    gradient of its own part of the batch (m-sharpness), as the literature does. Without `model`,
    under plain `DistributedDataParallel`, all workers climb along the averaged gradient.

    Raises:
        ValueError: an argument of the wrong type or outside its range, or a base that cannot be wrapped.
    """

    def __init__(
        self,
        base: Optimizer | Sequence[Optimizer],
        rho: float = 0.05,
        *,
        adaptive: bool = False,
        model: nn.Module | None = None,
    ) -> None:
        check_switch("adaptive", adaptive)
        if model is not None and not isinstance(model, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may have no types
            raise ValueError(f"model must be a torch.nn.Module or None, got {type(model).__name__}")
        super().__init__(as_one(base))
        for each in inside(self.base):
            if isinstance(each, Owner):
                raise ValueError(
                    "SAM around IRE would hide its curvature passes; nest them as IRE(SAM(base), ...)"
                )
            if isinstance(each, SAM):
                raise ValueError(
                    "SAM around SAM would need four gradients a step; wrap the base once, with one rho"
                )
        for each in bases_of(self.base):
            check_closure(each, "SAM")
            for group in each.param_groups:
                if "rho" in group and not is_option("rho", each):  # Adadelta has one
                    raise ValueError(
                        f"a group has rho={group['rho']}, which has no effect: give SAM one rho for all"
                    )
        self.rho = rho
        self.adaptive = adaptive
        self.model = getattr(model, "_orig_mod", model)  # the module inside `torch.compile`'s wrapper

    @property
    def rho(self) -> float:
        """ρ; a new value applies from the next step on."""
        return self._rho

    @rho.setter
    def rho(self, rho: float) -> None:
        check_number("rho", rho)
        if not (math.isfinite(rho) and rho >= 0):
            raise ValueError(
                f"rho must be finite and >= 0, got {rho}; 0.05 is the usual choice, 0 is the base alone"
            )
        self._rho = rho

    def __repr__(self) -> str:
        return f"SAM(rho={self.rho}, adaptive={self.adaptive}) around {self.base!r}"

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor:
        """One step; returns the loss at w.

        Raises:
            ValueError: there is no closure.
        """
        loss = self.gradient(closure)
        with without_global_hooks():
            self.base.step()
        return loss

    @torch.no_grad()
    def gradient(self, closure: Callable[[], Tensor] | None) -> Tensor:
        """Leave gˢ in the gradients and the parameters bitwise where they were; returns the loss at w."""
        if closure is None:
            raise ValueError(
                "SAM needs two gradients a step: call step(closure) with a closure that clears the "
                "gradients, runs forward and backward, and returns the loss"
            )
        self._clear()
        with torch.enable_grad(), self._ascent_pass():
            loss = closure()
        origin = self._climb()
        try:
            self._clear()
            with torch.enable_grad(), self._descent_pass():
                closure()
        finally:
            for p, w in origin.items():
                local(p).copy_(w)
        return loss

    def _clear(self) -> None:
        """Set the gradients to zero in place: they may be static buffers, or views of buckets."""
        for p in self.parameters():
            if p.grad is not None:
                if p.grad.grad_fn is not None:  # of create_graph
                    p.grad.detach_()
                p.grad.requires_grad_(False).zero_()

    def _climb(self) -> dict[Tensor, Tensor]:
        """Move every parameter that has a gradient to w + e; returns where each was.

        In single precision at least: in fp16 the norm of a small gradient is 0, and ρ / ‖g‖ is soon infinite.
        """
        moved = [(p, p.grad) for p in self.parameters() if p.grad is not None]
        norms = [
            vector_norm(_real(p).abs() * _real(grad) if self.adaptive else _real(grad)) for p, grad in moved
        ]
        if not norms:
            return {}
        norms = [whole(norm).to(local(moved[0][0]).device) for norm in norms]
        scale = self.rho / (vector_norm(torch.stack(norms)) + 1e-12)
        origin = {p: local(p).clone() for p, _ in moved}
        downhill = _maximized(self.base)
        for p, grad in moved:
            w, g = local(p), _real(local(grad))
            along = _real(w).square().mul_(g) if self.adaptive else g
            along = along * (-scale if p in downhill else scale).to(g)
            w.add_(torch.view_as_complex(along) if w.is_complex() else along)
        return origin

    def _ascent_pass(self) -> AbstractContextManager[object]:
        return self.model.no_sync() if isinstance(self.model, DistributedDataParallel) else nullcontext()

    def _descent_pass(self) -> AbstractContextManager[object]:
        return nullcontext() if self.model is None else frozen_batch_norm(self.model)


def _real(tensor: Tensor) -> Tensor:
    """In single precision at least; complex numbers as pairs of real ones, as torch's optimizers take them."""
    return wide(torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor)


def _maximized(base: Optimizer) -> set[Tensor]:
    """The parameters whose objective the base maximises.

    torch has the option in each group, pytorch_optimizer as an attribute of the optimizer. A wrapper that maximises
    around an optimizer that maximises flips the sign twice.
    """
    found: set[Tensor] = set()
    for each in bases_of(base):
        flips = sum(vars(it).get("maximize") is True for it in inside(each))
        for group in each.param_groups:
            if (flips + bool(group.get("maximize"))) % 2:
                found.update(group["params"])
    return found
