"""The gradient of a loss with a gradient penalty, by one double backward.

For a convolutional network this costs nine forward passes, as much as three plain gradients: 1 forward, 2 backward, 4
backward through the backward, and 2 for the gradients that arrive at the activations.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ire.optim.tensors.typed import vector_norm


@dataclass(frozen=True, kw_only=True)
class Penalized:
    """∇(L + λ‖∇s‖²), and the value of the penalty."""

    gradient: list[Tensor | None]
    """One per parameter; None where neither the loss nor the penalty depends on it."""
    penalty: Tensor
    """‖∇s‖², without λ; a scalar."""


def penalized_gradient(
    loss: Tensor, scalar: Tensor, parameters: Sequence[Tensor], weight: float
) -> Penalized:
    """∇L + λ∇‖∇s‖² for L = `loss`, s = `scalar`, λ = `weight`, both of one forward pass; its graph is consumed.

    ∇‖∇s‖² = 2 ∂(∇s)ᵀ∇s, so the cotangents 2λ∇s at ∇s, and 1 at L, go back in the same pass. Kernels of attention
    often lack the second derivative: run the forward pass under torch's `SDPBackend.MATH`.
    """
    known = _known(torch.autograd.grad(scalar, parameters, create_graph=True, allow_unused=True))
    penalty = sum(map(_squared_norm, known), start=torch.zeros((), device=loss.device))
    curved = [slope for slope in known if slope.requires_grad]
    flat = [slope.detach() for slope in curved]
    cotangents = torch._foreach_mul(flat, 2 * weight) if curved else ()  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
    gradient = torch.autograd.grad(
        [loss, *curved], parameters, [torch.ones_like(loss), *cotangents], allow_unused=True
    )
    return Penalized(gradient=list(gradient), penalty=penalty)


def _known(slopes: Iterable[Tensor | None]) -> list[Tensor]:
    """The gradients of the parameters that the scalar depends on; torch's own annotations have no None."""
    return [slope for slope in slopes if slope is not None]


def _squared_norm(slope: Tensor) -> Tensor:
    wide = torch.float64 if slope.dtype == torch.float64 else torch.float32
    return vector_norm(slope.detach(), dtype=wide).square()
