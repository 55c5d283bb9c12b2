"""Where a forward pass is going to be differentiated twice: layers whose second derivative torch makes expensive."""

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
"""The same values and derivatives by other routes."""


@contextmanager
def differentiable_twice() -> Generator[None, None, None]:
    """For the forward pass of a penalty, whatever the model: values are torch's own, to rounding.

    Attention runs by the kernel that has a second derivative at all.
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
