"""Model and loss as one module: what training compiles, and what `DistributedDataParallel` wraps.

With the loss outside, an eager cross-entropy reads and writes the logits of a whole batch several times, and a
compiled model is slower than one that is not.
"""

from typing import TypedDict

import torch
from torch import Tensor, nn

from trainables.task import Batch, Task


class Draw(TypedDict):
    """The labels of a curvature pass: a generator, the index of the slice of its draw, and the number of slices."""

    generator: torch.Generator
    rank: int
    world_size: int


class Objective(nn.Module):
    """Maps a batch to its training loss, a scalar; with `uniforms`, to the loss against the labels that they draw.

    With `outputs_alone` it returns the outputs, for a loss that must not be compiled.
    """

    def __init__(self, task: Task, model: nn.Module) -> None:
        super().__init__()
        self._task = task
        self.model = model

    def forward(self, batch: Batch, uniforms: Tensor | None = None, *, outputs_alone: bool = False) -> Tensor:
        if outputs_alone:
            return self._task.outputs(self.model, batch)
        if uniforms is not None:
            return self._task.sampled_training_loss(self.model, batch, uniforms)
        return self._task.training_loss(self.model, batch)


def sampled_loss(objective: nn.Module, task: Task, model: nn.Module, batch: Batch, draw: Draw) -> Tensor:
    """The loss against labels that `model` draws (Wang et al. 2024, Eq. 6); `objective` may be compiled or wrapped.

    Random numbers are drawn outside of the graph: a generator inside would break it, and a new one recompile it.
    """
    uniforms = task.uniforms(model, batch, **draw)
    if uniforms is not None:
        return objective(batch, uniforms)
    return task.sampled_loss(objective(batch, outputs_alone=True), batch, **draw)


class EvaluationSums(nn.Module):
    """Maps a batch to the sums of its metrics (`Task.metric_sums`)."""

    def __init__(self, task: Task, model: nn.Module) -> None:
        super().__init__()
        self._task = task
        self.model = model

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return self._task.evaluation_sums(self.model, batch)
