"""The base of all updates: splits a batch, takes the step, and measures gradients and steps."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from ire.methods.composed import Method
from ire.trial.spec import TrialSpec
from trainables.task import Batch, Task


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The objects of one trial in one worker that an update works with."""

    task: Task
    spec: TrialSpec
    method: Method
    settings: Mapping[str, Any]
    model: nn.Module
    objective: nn.Module
    """Maps a batch to its training loss; wrapped for several workers and compiled as training needs it."""
    optimizer: Optimizer
    device: torch.device
    rank: int
    world_size: int

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of a forward pass and its loss."""
        if self.spec.precision != "bf16":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def reduce_on_last(self, index: int, parts: Sequence[Batch]) -> AbstractContextManager[Any]:
        """DDP averages gradients in the last micro-batch's backward only."""
        last = index == len(parts) - 1
        return (
            nullcontext()
            if last or self.world_size == 1
            else cast(DistributedDataParallel, self.objective).no_sync()
        )


class Update(ABC):
    """A way to turn a batch into a step. Measurements are taken in the step before a report."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.parameters: list[nn.Parameter] = [p for p in setup.model.parameters() if p.requires_grad]
        self.step = 0
        """The step of the task that is being taken."""
        self.gradients = 0.0
        """Gradients of a full batch that the step has taken so far."""
        self._measured: dict[str, Tensor] = {}

    @abstractmethod
    def parts(self, batch: Batch) -> list[Batch]:
        """This worker's part of a whole batch, in micro-batches, on the device of the batch."""

    def labels_of(self, index: int) -> tuple[int, int, int]:
        """The labels of part `index`: the number of the draw, the index of this worker's slice, and of how many."""
        return index, self.setup.rank, self.setup.world_size

    @abstractmethod
    def take(self, parts: list[Batch]) -> Tensor:
        """One step of the task, which is one of the optimizer or several; returns the mean loss, detached."""

    def advance(self, parts: list[Batch], step: int) -> Tensor:
        """`take` step number `step` with cleared gradients before and after, and measure the length of the step."""
        self.step = step
        self.gradients = 0.0
        self._measured.clear()
        origin = [p.detach().clone() for p in self.parameters] if self.is_watched else None
        loss = self.take(parts)
        self.clear()
        if origin is not None:
            now = [p.detach() for p in self.parameters]
            moved = torch._foreach_sub(now, origin)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
            self.measure("step_length", norm(moved))
        return loss

    def step_optimizer(self, closure: Callable[[], Tensor]) -> Tensor:
        """One step of the optimizer; returns the loss of `closure`, which torch's own annotations call a float."""
        return cast(Any, self.setup.optimizer).step(closure)

    def clear(self) -> None:
        """Drop all gradients."""
        for p in self.parameters:
            p.grad = None

    @property
    def is_watched(self) -> bool:
        """Whether a report follows this step."""
        return self.setup.spec.reports_at(self.step + 1) and not self.setup.spec.timing

    def measure(self, name: str, value: Tensor) -> None:
        self._measured[name] = value

    def measured(self) -> dict[str, float]:
        """Measurements of the last watched step: `step_length`, `grad_norm`, and those of the method."""
        return {name: value.item() for name, value in self._measured.items()}

    def clip(self) -> Tensor | None:
        """Clip the gradients in place as the settings say; returns their norm before, if known."""
        limit = self.setup.settings["clip_norm"]
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if not (limit or self.is_watched):
            return None
        total = norm(gradients)
        if limit:
            nn.utils.clip_grads_with_norm_(self.parameters, limit, total)
        return total


def norm(tensors: Sequence[Tensor | None]) -> Tensor:
    """The Euclidean norm of all tensors together, a scalar; None counts as zeros."""
    return nn.utils.get_total_norm([tensor for tensor in tensors if tensor is not None])
