"""The scalar of a micro-batch whose gradient a penalty keeps small."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.task import Batch, Task


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """One micro-batch after its forward pass."""

    task: Task
    batch: Batch
    outputs: Tensor
    """(m, ..., C), with their graph."""
    loss: Tensor
    """The training loss, the mean over the micro-batch, with its graph."""
    generator: torch.Generator
    """For random draws; on the CPU or the device of `outputs`."""


Scalar = Callable[[MicroBatch], Tensor]
"""A scalar s(θ) with its graph; the penalty is ‖∇_θ s‖²."""


def positions(outputs: Tensor) -> Tensor:
    """`outputs` (m, ..., C) as rows (n, C), in single precision at least: each prediction counts as an example."""
    rows = outputs.flatten(0, -2)
    return rows if rows.dtype == torch.float64 else rows.float()
