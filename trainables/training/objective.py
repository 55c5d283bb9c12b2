"""Model and loss as one module: what training compiles, and what `DistributedDataParallel` wraps.

With the loss outside, an eager cross-entropy reads and writes the logits of a whole batch several times, and a
compiled model is slower than one that is not.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainables.task import Batch, Task


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Whose labels a curvature pass samples: a generator, and which of how many equal slices of its draw."""

    generator: torch.Generator
    rank: int
    world_size: int


class Objective(nn.Module):
    """A batch to its training loss, a scalar; with a `Draw` to the loss against sampled labels."""

    def __init__(self, task: Task, model: nn.Module) -> None:
        super().__init__()
        self._task = task
        self.model = model

    def forward(self, batch: Batch, draw: Draw | None = None) -> Tensor:
        if draw is None:
            return self._task.training_loss(self.model, batch)
        return self._task.sampled_training_loss(
            self.model, batch, generator=draw.generator, rank=draw.rank, world_size=draw.world_size
        )


class EvaluationSums(nn.Module):
    """A batch to the sums of its metrics (`Task.metric_sums`)."""

    def __init__(self, task: Task, model: nn.Module) -> None:
        super().__init__()
        self._task = task
        self.model = model

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return self._task.evaluation_sums(self.model, batch)
