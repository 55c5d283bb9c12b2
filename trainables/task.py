"""What a workload must provide, and where workloads are found.

A task of our own is one file in `trainables/tasks/` (`stdlib-lm` is `stdlib_lm.py`) and one in
`search_spaces/`; anybody else's is named `package.module:Class`. Such a name is code that will be run.
"""

import importlib
import os
import pkgutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ire import sampled_nll
from trainables.invalid_input import InvalidInput, unknown

Batch = tuple[Tensor, Tensor]


class Task(ABC):
    """A workload: data, model, loss and metrics. Stateless between trials, so that a gang keeps it warm."""

    name: ClassVar[str]
    batch_size: ClassVar[int]
    """Examples of one optimizer step, over all workers together."""

    @abstractmethod
    def model(self) -> nn.Module:
        """A freshly initialised model, from torch's global generator."""

    @abstractmethod
    def train_batches(self, *, seed: int, start: int) -> Iterator[Batch]:
        """The endless stream of training batches (inputs, targets) from optimizer step `start` on.

        Batch t must be a function of `seed` and t alone: this is what makes resume exact and pairs the trials
        of two methods. The first axis of every tensor counts `batch_size` examples.
        """

    @abstractmethod
    def eval_batches(self, split: str) -> Iterable[Batch]:
        """The batches of `validation` or `test`, the same ones every time."""

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """The model's outputs on a batch; logits (..., classes) for the losses below."""
        return model(batch[0])

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The training loss: the mean over the batch, in nats."""
        return F.cross_entropy(outputs.flatten(0, -2), batch[1].flatten())

    def sampled_loss(
        self, outputs: Tensor, batch: Batch, *, generator: torch.Generator, rank: int = 0, world_size: int = 1
    ) -> Tensor:
        """The loss against labels drawn from the model itself, for the curvature (Wang et al. 2024, Eq. 6)."""
        return sampled_nll(outputs, targets=batch[1], generator=generator, rank=rank, world_size=world_size)

    def metric_sums(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Per batch, the sum of each metric over its predictions, and their number as `count`.

        `loss` is required; everything is divided by the total count and reported as `val_<name>`.
        """
        logits, targets = outputs.flatten(0, -2), batch[1].flatten()
        return {
            "loss": F.cross_entropy(logits, targets, reduction="sum"),
            "accuracy": (logits.argmax(-1) == targets).sum(),
            "count": torch.tensor(len(targets), device=logits.device),
        }


def task_names() -> list[str]:
    """The names of the tasks that come with the package."""
    import trainables.tasks

    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(trainables.tasks.__path__))


def load_task(name: str) -> Task:
    """The task of that name, or of that `package.module:Class`, built; raises `InvalidInput`."""
    if ":" in name:
        module_name, _, class_name = name.partition(":")
        search_for_modules([os.getcwd()])  # as `python -m` would; a console script leaves it out
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            raise InvalidInput(f"task {name!r}: cannot import {module_name!r} ({error})") from error
        found = getattr(module, class_name, None)
        if not (isinstance(found, type) and issubclass(found, Task)):
            tasks = [key for key, value in vars(module).items() if _is_task(value)]
            raise unknown("task class", class_name, tasks, where=module_name)
        return found()
    if name not in task_names():
        raise unknown("task", name, task_names())
    module = importlib.import_module(f"trainables.tasks.{name.replace('-', '_')}")
    return next(value for value in vars(module).values() if _is_task(value))()


def search_for_modules(folders: Iterable[str]) -> None:
    """Let Python find tasks from outside the package in these folders, too."""
    sys.path.extend(folder for folder in folders if folder not in sys.path)


def _is_task(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Task) and value is not Task
