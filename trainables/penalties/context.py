"""The type of an autograd function's context, which torch leaves untyped."""

from typing import Protocol

from torch import Tensor


class Context(Protocol):
    """The context of a function; a function that stores more in it has its own context class."""

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]: ...

    @property
    def needs_input_grad(self) -> tuple[bool, ...]:
        """One for each argument of `forward`."""
        ...

    def save_for_backward(self, *tensors: Tensor) -> None: ...

    def set_materialize_grads(self, value: bool) -> None:
        """Whether the gradient of an output that the result does not depend on is zeros (the default) or None."""
        ...
