"""Replaces layers whose second derivative is expensive in torch, for forward passes that are differentiated twice."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from trainables.penalties.batch_norm import batch_norm
from trainables.penalties.convolution import convolution

CHEAPER: dict[Callable[..., Any], Callable[..., Tensor]] = {F.batch_norm: batch_norm, F.conv2d: convolution}
"""Functions of torch, and cheaper ones with the same values and derivatives."""


@contextmanager
def differentiable_twice() -> Generator[None, None, None]:
    """A context for the forward pass of a penalty, for any model; values equal torch's own up to rounding.

    Attention uses the only kernel that has a second derivative.
    """
    with _Substitution(), sdpa_kernel(SDPBackend.MATH):
        yield


class _Substitution(TorchFunctionMode):
    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        return CHEAPER.get(function, function)(*args, **(kwargs or {}))
