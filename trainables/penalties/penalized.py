"""The gradient of a loss with a gradient penalty, by one double backward.

For a network of convolutions this is three times a plain gradient: 1 forward, 2 backward, 4 backward through the
backward, 2 for what arrives at the activations.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Penalized:
    """∇(L + λ‖∇s‖²), and the value of the penalty."""

    gradient: list[Tensor | None]
    """One a parameter; None where neither the loss nor the penalty depends on it."""
    penalty: Tensor
    """‖∇s‖², without λ; a scalar."""


def penalized_gradient(
    loss: Tensor, scalar: Tensor, parameters: Sequence[Tensor], weight: float
) -> Penalized:
    """∇L + λ∇‖∇s‖² for L = `loss`, s = `scalar`, λ = `weight`, both of one forward pass; its graph is consumed.

    ∇‖∇s‖² = 2 ∂(∇s)ᵀ∇s, so the cotangents 2λ∇s at ∇s, and 1 at L, go back in the same pass. Kernels of attention
    often lack the second derivative: run the forward pass under torch's `SDPBackend.MATH`.
    """
    slopes = torch.autograd.grad(scalar, parameters, create_graph=True, allow_unused=True)
    known = [slope for slope in slopes if slope is not None]
    penalty = sum(
        (torch.linalg.vector_norm(slope.detach(), dtype=_wide(slope)).square() for slope in known),
        start=torch.zeros((), device=loss.device),
    )
    curved = [slope for slope in known if slope.requires_grad]
    flat = [slope.detach() for slope in curved]
    cotangents = torch._foreach_mul(flat, 2 * weight) if curved else []  # pyright: ignore[reportPrivateImportUsage]
    gradient = torch.autograd.grad(
        [loss, *curved], parameters, [torch.ones_like(loss), *cotangents], allow_unused=True
    )
    return Penalized(gradient=list(gradient), penalty=penalty)


def _wide(tensor: Tensor) -> torch.dtype:
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32
