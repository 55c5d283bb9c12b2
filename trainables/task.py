"""What a workload must provide, and where workloads are found.

A task of the package is one file in `trainables/tasks/` (`stdlib-lm` is `stdlib_lm.py`), or a table in `tasks.toml`
there if it is a network and a few numbers, and one file in `search_spaces/`; any other task is named
`package.module:Class`. Such a name is code that will be run. `NAME@tiny` is the task's scaled-down twin, so records
show the scale in the name.
"""

import copy
import importlib
import inspect
import os
import pkgutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ire.entry_points import TASKS, registered
from ire.invalid_input import GUARD, InvalidInput, exited, unknown
from ire.methods.task_settings import check_attribute
from ire.optim import sampled_nll
from ire.plain_values import is_mapping
from ire.trial.scale import ORIGINAL, TINY, split_scale
from trainables.data.batch import Batch
from trainables.data.dataset import DataSet
from trainables.models.linear_cross_entropy import IGNORED

KEPT_COPIES = 4
"""The number of variants of a task, with other attributes, that are kept in memory."""
TARGETS = ("labels", "targets", "label", "target")
"""The keys under which a batch that is a mapping may hold its targets."""


class Task(ABC):
    """A workload: data, model, loss and metrics. Stateless between trials, so that a gang can reuse it."""

    name: ClassVar[str]
    batch_size: ClassVar[int]
    """Examples of one optimizer step, over all workers together."""
    tiny: ClassVar[Mapping[str, Any]] = {}
    """Attributes that are smaller in the scaled-down twin; everything else, including the code, is the same."""
    original: ClassVar[Mapping[str, Any]] = {}
    """Attributes that restore the paper's protocol where this task deviates from it."""

    study = 0
    """The study whose split of the training data this is: the held-out validation data is a function of it, unless the
    data comes with its own validation split. The test split is the same in every study."""

    def __init__(self, scale: str | None = None) -> None:
        """The task itself, or its `tiny` twin or `original` form by `scale`; raises `InvalidInput` if it has none."""
        if scale is None:
            return
        forms = {name: form for name, form in {TINY: self.tiny, ORIGINAL: self.original}.items() if form}
        if scale not in forms:
            raise unknown("scale", scale, forms, where=self.name)
        for attribute, value in forms[scale].items():
            if not hasattr(type(self), attribute):
                raise AttributeError(f"{self.name}@{scale} sets {attribute!r}, which the task does not have")
            setattr(self, attribute, value)

    def in_study(self, number: int) -> "Task":
        """The task with the split of that study; each is made once."""
        if number == self.study:
            return self
        others = vars(self).setdefault("_in_other_studies", {})
        if number not in others:
            others[number] = _fresh_copy(self)
            others[number].study = number
        return others[number]

    def with_attributes(self, values: Mapping[str, Any]) -> "Task":
        """The task with these values of its attributes, which are a trial's settings `task.NAME`.

        The last few are kept, so that trials with equal values share cached properties. Raises `InvalidInput` for an
        attribute that the task does not have, or a value of another type.
        """
        if not values:
            return self
        for name, value in values.items():
            check_attribute(self, name, value)
        key = tuple(sorted((name, type(value).__name__, value) for name, value in values.items()))
        others = vars(self).setdefault("_with_other_attributes", {})
        task = others.pop(key, None)
        if task is None:
            task = _fresh_copy(self)
            for name, value in values.items():
                own: object = getattr(self, name)
                setattr(task, name, float(value) if type(own) is float else value)
        others[key] = task  # the most recent last
        while len(others) > KEPT_COPIES:
            del others[next(iter(others))]
        return task

    def split_seed(self, name: str) -> str:
        """The seed with which this study splits the data set `name`."""
        return f"{name}, study {self.study}" if self.study else name

    @property
    def data(self) -> DataSet | None:
        """The data set that `ire data prepare` makes for the task; None if it needs none."""
        return None

    def check_data(self) -> None:
        """Raise `InvalidInput`, with the command to run, if the task's data is missing."""
        if self.data is not None:
            self.data.open(task=self.name)

    def data_identity(self) -> str | None:
        """One line that identifies the data: its name, and checksums of data, tokenizer and vocabulary.

        Each trial records it, and no trial continues or is compared on other data. None for a task that generates
        its data and does not identify it. Raises `InvalidInput` if the data is missing.
        """
        return None if self.data is None else self.data.open(task=self.name).identity

    def check_same_data(self, recorded: str | None, *, whose: str, here: str | None = None) -> None:
        """Raise `InvalidInput` unless the data here is the data `recorded` by `whose`; None matches any data.

        `here` is the identity of the data here, if it is already known.
        """
        here = here or self.data_identity()
        if recorded is None or here is None or recorded == here:
            return
        place, remedy = "", "run it with the Python and the packages it began with, or start again"
        if self.data is not None:
            place = f" in {str(self.data.folder)!r}"
            remedy = (
                "prepare the recorded data (`ire data prepare`, --dir for another folder), or start again"
            )
        raise InvalidInput(
            f"{whose} was made with the data {recorded!r}, but the data{place} is {here!r}: {remedy}"
        )

    @abstractmethod
    def model(self) -> nn.Module:
        """A freshly initialised model, from torch's global generator."""

    @abstractmethod
    def train_batches(self, *, seed: int, start: int) -> Iterator[Batch]:
        """The endless stream of training batches (inputs, targets, ...) from optimizer step `start` on.

        Batch t must be a function of `seed` and t alone: this makes resume exact and pairs the trials
        of two methods. The first axis of every tensor counts `batch_size` examples. A batch may be a mapping, or
        nested (`trainables.data.batch`); `trainables.data.stream` makes such a stream of any data set of torch.
        """

    def prepared(self, batch: Batch) -> Batch:
        """A training batch, or a worker's share of one, on the device: the place to augment.

        A function of the batch alone: random numbers must come with it, a row for each example.
        """
        return batch

    @abstractmethod
    def eval_batches(self, split: str) -> Iterable[Batch]:
        """The batches of `validation` or `test`, the same on every call."""

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """The model's outputs on a batch, which for the losses below are logits (..., classes).

        If a batch is a mapping, the model receives all entries except the targets, by name.
        """
        if not is_mapping(batch):
            return model(batch[0])
        outputs = model(**{name: value for name, value in batch.items() if name not in TARGETS})
        return getattr(outputs, "logits", outputs)

    def targets(self, batch: Batch) -> Tensor:
        """The targets of a batch: its second part, or its `labels` or `targets`."""
        if not is_mapping(batch):
            return batch[1]
        name = next((name for name in TARGETS if name in batch), None)
        if name is None:
            raise InvalidInput(
                f"{self.name}: a batch has {', '.join(map(str, batch))} but no {' or '.join(TARGETS[:2])}; rename its "
                "targets, or define `targets`"
            )
        return batch[name]

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The training loss: the mean over the batch, in nats."""
        return F.cross_entropy(outputs.flatten(0, -2), self.targets(batch).flatten())

    def sampled_loss(
        self, outputs: Tensor, batch: Batch, *, generator: torch.Generator, rank: int = 0, world_size: int = 1
    ) -> Tensor:
        """The loss against labels drawn from the model itself, for the curvature (Wang et al. 2024, Eq. 6)."""
        return sampled_nll(
            outputs, targets=self.targets(batch), generator=generator, rank=rank, world_size=world_size
        )

    def metric_sums(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Per batch, the sum of each metric over its predictions, and their number as `count`.

        `loss` is required; each sum is divided by the total count and reported as `val_<name>`. Targets of -100 are
        ignored, as in `cross_entropy`.
        """
        logits, targets = outputs.flatten(0, -2), self.targets(batch).flatten()
        return {
            "loss": F.cross_entropy(logits, targets, reduction="sum"),
            "accuracy": (logits.argmax(-1) == targets).sum(),
            "count": (targets != IGNORED).sum(),
        }

    # Model and loss together: one module while training, one graph when compiled. A task may fuse them.

    def training_loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """`loss` of `outputs`, which a training step differentiates once."""
        return self.loss(self.outputs(model, batch), batch)

    def uniforms(
        self,
        model: nn.Module,
        batch: Batch,
        *,
        generator: torch.Generator,
        rank: int = 0,
        world_size: int = 1,
    ) -> Tensor | None:
        """Numbers in [0, 1) for `sampled_training_loss` to draw labels from; None for `sampled_loss` of `outputs`."""
        return None

    def sampled_training_loss(self, model: nn.Module, batch: Batch, uniforms: Tensor) -> Tensor:
        """The loss that a curvature pass differentiates once, where there are `uniforms`; it may be compiled."""
        raise NotImplementedError(f"{type(self).__name__} has uniforms but no sampled_training_loss")

    def evaluation_sums(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """`metric_sums` of `outputs` in single precision; gradients are off."""
        outputs = self.outputs(model, batch)
        with torch.autocast(outputs.device.type, enabled=False):
            return self.metric_sums(outputs.float(), batch)


def _fresh_copy(task: Task) -> Task:
    """A copy of `task` of which nothing has been computed yet: neither its cached properties nor its own copies."""
    cached = {
        name
        for base in type(task).__mro__
        for name, value in vars(base).items()
        if isinstance(value, cached_property)
    }
    other = copy.copy(task)
    for name in (*cached, "_in_other_studies", "_with_other_attributes"):
        vars(other).pop(name, None)
    return other


def task_names() -> list[str]:
    """The names of the tasks that come with the package."""
    modules = pkgutil.iter_modules([str(Path(__file__).with_name("tasks"))])
    return sorted([*_of_numbers(), *(m.name.replace("_", "-") for m in modules if not m.ispkg)])


def _of_numbers() -> Mapping[str, Any]:
    """The tasks without a module of their own: `trainables/tasks/tasks.toml`."""
    return importlib.import_module("trainables.tasks.families.from_table").tables()


def load_task(name: str) -> Task:
    """Build the task of that name or `package.module:Class`; raises `InvalidInput`.

    The suffix `@tiny` selects the scaled-down twin.
    """
    name, scale = split_scale(name)
    found = _task_class(name)
    return found() if scale is None else found(scale)


def _task_class(name: str) -> type[Task]:
    if name in registered(TASKS) and name not in task_names():
        name = registered(TASKS)[name].value
    if ":" in name:
        module_name, _, class_name = name.partition(":")
        search_for_modules([os.getcwd()])  # as with `python -m`; a console script does not add it
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            raise InvalidInput(f"task {name!r}: cannot import {module_name!r} ({error})") from error
        except SystemExit as end:
            raise exited(f"task {name!r}: the import of {module_name!r}", end, remedy=GUARD) from end
        found = getattr(module, class_name, None)
        if not (isinstance(found, type) and issubclass(found, Task)):
            tasks = [key for key, value in vars(module).items() if _is_task(value)]
            raise unknown("task class", class_name, tasks, where=module_name)
        if inspect.isfunction(found.data):
            raise InvalidInput(
                f"task {name!r}: `data` is the property that holds the task's data set, but {class_name} makes it a "
                "method; rename the method"
            )
        return found
    if name not in task_names():
        raise unknown("task", name, [*task_names(), *registered(TASKS)])
    if name in _of_numbers():
        return importlib.import_module("trainables.tasks.families.from_table").task_class(name)
    module = importlib.import_module(f"trainables.tasks.{name.replace('-', '_')}")
    return next(t for t in vars(module).values() if _is_task(t) and t.__module__ == module.__name__)


def search_for_modules(folders: Iterable[str]) -> None:
    """Also search these folders for modules from outside the package."""
    sys.path.extend(folder for folder in folders if folder not in sys.path)


def _is_task(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Task) and not inspect.isabstract(value)
