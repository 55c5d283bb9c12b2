"""Detects a task whose batches are not a function of (seed, step), before its first step, if that is cheap."""

import itertools
from collections.abc import Iterator

import torch

from ire.invalid_input import InvalidInput
from ire.trial.seeds import seed_step
from trainables.data.batch import Batch, equal, examples, leaves
from trainables.data.prefetch import close
from trainables.task import Task

RULE = "resume and the pairing of methods need batch t to depend on `seed` and t alone"
REMEDY = "make the stream with `trainables.data.stream.batches`, or see docs/data.md"

_states = itertools.count(7919)
"""Seeds of torch's global generator, a new one for each batch: no batch may depend on it."""
_checked: set[tuple[type, int]] = set()


def check_stream(task: Task, *, seed: int) -> None:
    """Raise `InvalidInput` if batches 0 and 1 differ when they are made again, or do not have `batch_size` examples.

    Tasks of the package are skipped, since their tests check more; any other task is checked once per process.
    """
    kind = (type(task), task.batch_size)
    if kind in _checked or type(task).__module__.startswith("trainables."):
        return
    first, second = _beginning(task, seed, start=0, count=2)
    (again,) = _beginning(task, seed, start=0, count=1)
    (from_one,) = _beginning(task, seed, start=1, count=1)
    if not equal(first, again):
        raise InvalidInput(
            f"{task.name}: train_batches(seed={seed}, start=0) begins with another batch each time; {RULE}: {REMEDY}"
        )
    if not equal(second, from_one):
        raise InvalidInput(
            f"{task.name}: train_batches(seed={seed}, start=1) does not begin with the second batch of start=0 (a "
            f"shuffled DataLoader never repeats it); {RULE}: {REMEDY}"
        )
    for batch in (first, second):
        _check_size(task, batch)
    _checked.add(kind)


def _check_size(task: Task, batch: Batch) -> None:
    if examples(batch) != task.batch_size:
        raise InvalidInput(
            f"{task.name}: a training batch has {examples(batch)} examples, but batch_size is {task.batch_size}; the "
            "first axis of its tensors must count the examples, also in the last batch of an epoch (drop_last=True)"
        )
    sizes = {len(leaf) for leaf in leaves(batch) if isinstance(leaf, torch.Tensor) and leaf.ndim}
    if len(sizes) > 1:
        raise InvalidInput(
            f"{task.name}: the tensors of a training batch have {', '.join(map(str, sorted(sizes)))} rows; the first "
            "axis of each must count the examples"
        )


def _beginning(task: Task, seed: int, *, start: int, count: int) -> list[Batch]:
    """Batches from `start` on, each made with another state of torch's global generator, as may happen in training."""
    stream = iter(task.train_batches(seed=seed, start=start))
    found = list(itertools.islice(_seeded(stream), count))
    close(stream)
    if len(found) < count:
        raise InvalidInput(
            f"{task.name}: train_batches ends after {len(found)} batches; it must be endless: begin a new epoch"
        )
    return found


def _seeded(stream: Iterator[Batch]) -> Iterator[Batch]:
    while True:
        seed_step(next(_states), torch.device("cpu"))
        try:
            yield next(stream)
        except StopIteration:
            return
