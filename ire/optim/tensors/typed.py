"""Functions of torch whose annotations are incomplete, with their types."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

vector_norm: Callable[..., Tensor] = torch.linalg.vector_norm  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def numbers(tensor: Tensor) -> list[Any]:
    """The values as nested lists of Python's numbers; waits for a GPU."""
    return tensor.tolist()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
