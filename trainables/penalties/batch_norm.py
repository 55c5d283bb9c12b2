"""Batch norm with a cheap second derivative: three sums and two linear combinations.

torch differentiates its backward twice in about forty elementwise passes, a third of a penalized step. With
x̂ = (x − μ)/σ, k = γ/σ, and sums over the M elements of a channel,

    s₁ = Σg,  s₂ = Σg x̂,       ∂x = k (g − s₁/M − x̂ s₂/M),  ∂γ = s₂,  ∂β = s₁

for an output gradient g. For cotangents u of ∂x, a of ∂γ, b of ∂β and U = Σu, V = Σu x̂, W = Σu g:

    of g:  k (u − U/M − x̂ V/M) + a x̂ + b                           (the backward itself, of u)
    of x:  (p g − (k s₂/M) u − (q₁/M) − x̂ (q₂/M + T/(Mσ)) )/σ
    of γ:  T/γ

with p = a − kV/M, q₁ = p s₁ − k s₂ U/M, q₂ = p s₂ − k s₂ V/M and T = γ (W − s₁U/M − s₂V/M).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from trainables.penalties.context import Context

FORWARD, BACKWARD = torch.ops.aten.native_batch_norm, torch.ops.aten.native_batch_norm_backward


def batch_norm(
    input: Tensor,  # the names of torch.nn.functional.batch_norm
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm`, cheap to differentiate twice in training with a weight and a bias."""
    if training and weight is not None and bias is not None:
        return _BatchNorm.apply(input, weight, bias, running_mean, running_var, momentum, eps)
    return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


class _Context(Context):
    eps: float


class _BatchNorm(torch.autograd.Function):
    """x (n, c, ...), weight and bias (c,); the running statistics are updated in place."""

    @staticmethod
    def forward(
        ctx: _Context,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor | None,
        running_variance: Tensor | None,
        momentum: float,
        eps: float,
    ) -> Tensor:
        y, mean, inverse = FORWARD(x, weight, bias, running_mean, running_variance, True, momentum, eps)
        ctx.save_for_backward(x, weight, mean, inverse)
        ctx.eps = eps
        return y

    @staticmethod
    def backward(ctx: _Context, g: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride] - by position
        x, weight, mean, inverse = ctx.saved_tensors
        return *_Backward.apply(g, x, weight, mean, inverse, ctx.eps), None, None, None, None


class _Backward(torch.autograd.Function):
    """The gradients of x, weight and bias; `mean` and `inverse` (1/σ) are functions of x, and are treated so."""

    @staticmethod
    def forward(
        ctx: _Context, g: Tensor, x: Tensor, weight: Tensor, mean: Tensor, inverse: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        found = BACKWARD(g, x, weight, None, None, mean, inverse, True, eps, [True, True, True])
        ctx.save_for_backward(g, x, weight, mean, inverse, found[1], found[2])
        ctx.eps = eps
        return found

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: _Context, u: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        g, x, weight, mean, inverse, s2, s1 = ctx.saved_tensors
        gx, v, u_sum = BACKWARD(u, x, weight, None, None, mean, inverse, True, ctx.eps, [True, True, True])
        dims = [d for d in range(x.dim()) if d != 1]
        count = x.numel() // x.shape[1]
        k = weight * inverse
        w = (u * g).sum(dims, dtype=k.dtype)
        p = a - k * v / count
        q1 = p * s1 - k * s2 * u_sum / count
        q2 = p * s2 - k * s2 * v / count
        t = w - (s1 * u_sum + s2 * v) / count
        # x̂ = inverse · (x − mean): combinations of x̂ are written as combinations of x
        slope = -inverse * (q2 + weight * t * inverse) / count
        of_x = _combination(
            g * _of_channels(inverse * p, g).to(g.dtype),
            [(u, -inverse * k * s2 / count), (x, slope * inverse)],
            -inverse * q1 / count - slope * inverse * mean,
        )
        of_g = _combination(gx, [(x, a * inverse)], b - a * inverse * mean)
        return of_g, of_x, inverse * t, None, None, None


def _combination(total: Tensor, terms: list[tuple[Tensor, Tensor]], shift: Tensor) -> Tensor:
    """`total` + Σ tensor · coefficient + shift, coefficients and shift (c,) of channels; overwrites `total`."""
    for tensor, coefficient in terms:
        total.addcmul_(tensor, _of_channels(coefficient, total).to(total.dtype))
    return total.add_(_of_channels(shift, total))


def _of_channels(values: Tensor, x: Tensor) -> Tensor:
    """`values` (c,) in the shape that multiplies the channels of `x` (n, c, ...)."""
    return values.view([1, -1] + [1] * (x.dim() - 2))
