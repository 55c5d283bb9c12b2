"""What torch hands from the forward pass of our own functions to their backward pass: its types, which torch lacks."""

from typing import Protocol

from torch import Tensor


class Context(Protocol):
    """The context of a function; a function that keeps more in it has a context of its own."""

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]: ...

    @property
    def needs_input_grad(self) -> tuple[bool, ...]:
        """One for each argument of `forward`."""
        ...

    def save_for_backward(self, *tensors: Tensor) -> None: ...

    def set_materialize_grads(self, value: bool) -> None:
        """Whether an output gradient that is zero arrives as zeros (by default), or as None."""
        ...
