"""Functions of torch whose annotations are incomplete, with their types."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

vector_norm: Callable[..., Tensor] = torch.linalg.vector_norm  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

Method = TypeVar("Method", bound=Callable[..., Any])


def untraced(method: Method) -> Method:
    """Keep `torch.compile` out of a method whose caller it compiles, as torch does for its own optimizers."""
    # torch.compiler.disable would import all of dynamo here.
    return torch._disable_dynamo(method)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage, reportReturnType]


def numbers(tensor: Tensor) -> list[Any]:
    """The values as nested lists of Python's numbers; waits for a GPU."""
    return tensor.tolist()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
