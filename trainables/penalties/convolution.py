"""A convolution whose second derivative consists of gradients of convolutions.

For y = x ∗ w, torch expresses the derivative of its backward by convolutions with kernels as large as the image, for
which no library has a fast path. But these are again gradients of convolutions: for cotangents u of ∂x and v of ∂w,

    of ∂y:  u ∗ w + x ∗ v
    of x:   the input gradient of a convolution with kernel v
    of w:   the weight gradient of a convolution of u
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from trainables.penalties.context import Context

GRADIENT = torch.ops.aten.convolution_backward

How = tuple[list[int], list[int], list[int], int]
"""Stride, padding and dilation along both axes, and the number of groups."""


def convolution(
    input: Tensor,  # the names of torch.nn.functional.conv2d
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, ...] = 1,
    padding: str | int | tuple[int, ...] = 0,
    dilation: int | tuple[int, ...] = 1,
    groups: int = 1,
) -> Tensor:
    """`torch.nn.functional.conv2d`, cheap to differentiate twice unless `padding` is a word."""
    if isinstance(padding, str):
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    if torch.is_autocast_enabled(input.device.type):  # it would cast inside, unseen by backward
        dtype = torch.get_autocast_dtype(input.device.type)
        input, weight = input.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    how = (_pair(stride), _pair(padding), _pair(dilation), groups)
    with torch.autocast(input.device.type, enabled=False):
        return _Convolution.apply(input, weight, bias, how)


class _Context(Context):
    how: How
    has_bias: bool


class _Convolution(torch.autograd.Function):
    """x (n, c, h, w), weight (o, c / groups, kh, kw), bias (o,) or None."""

    @staticmethod
    def forward(ctx: _Context, x: Tensor, weight: Tensor, bias: Tensor | None, how: How) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.how, ctx.has_bias = how, bias is not None
        ctx.set_materialize_grads(False)
        return F.conv2d(x, weight, bias, *how)

    @staticmethod
    def backward(ctx: _Context, g: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride] - by position
        if g is None:
            return None, None, None, None
        x, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:3]
        of_x, of_weight = _Gradient.apply(g, x, weight, ctx.how, wanted[:2])
        of_bias = g.sum((0, 2, 3)) if wanted[2] and ctx.has_bias else None
        return of_x, of_weight, of_bias, None


class _Gradient(torch.autograd.Function):
    """The gradients of x and weight for an output gradient g; None for one that is not needed."""

    @staticmethod
    def forward(
        ctx: _Context, g: Tensor, x: Tensor, weight: Tensor, how: How, wanted: tuple[bool, bool]
    ) -> tuple[Tensor | None, Tensor | None]:
        ctx.save_for_backward(g, x, weight)
        ctx.how = how
        ctx.set_materialize_grads(False)  # avoid convolutions of zeros
        return _gradients(g, x, weight, how, wanted)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: _Context, u: Tensor | None, v: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        g, x, weight = ctx.saved_tensors
        how, (of_g, of_x, of_weight, *_) = ctx.how, ctx.needs_input_grad
        parts: list[Tensor] = []
        if of_g and u is not None:
            parts.append(F.conv2d(u, weight, None, *how))
        if of_g and v is not None:
            parts.append(F.conv2d(x, v, None, *how))
        along_g = parts[0].add_(parts[1]) if len(parts) == 2 else parts[0] if parts else None
        along_x = _gradients(g, x, v, how, (True, False))[0] if of_x and v is not None else None
        along_weight = (
            _gradients(g, u, weight, how, (False, True))[1] if of_weight and u is not None else None
        )
        return along_g, along_x, along_weight, None, None


def _gradients(
    g: Tensor, x: Tensor, weight: Tensor, how: How, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    stride, padding, dilation, groups = how
    found = GRADIENT(g, x, weight, None, stride, padding, dilation, False, [0, 0], groups, [*wanted, False])
    return found[0] if wanted[0] else None, found[1] if wanted[1] else None


def _pair(value: int | tuple[int, ...]) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)
