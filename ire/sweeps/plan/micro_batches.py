"""Refuses batch sizes that workers or micro-batches do not divide, before anything starts."""

from ire.invalid_input import InvalidInput
from ire.methods.composed import Method
from ire.methods.task_settings import BATCH_SIZE
from ire.sweeps.plan.plan import Plan
from search_spaces import Choice, Interval, Space
from trainables.updates.micro_batches import check_split


def check_batches(plan: Plan, *, batch_size: int) -> None:
    """Raise `InvalidInput` unless workers and micro-batches divide every batch of the sweep.

    `batch_size` is the task's, in examples; it is used unless the batch size is searched.
    """
    workers, parts = plan.workers, f"--workers {plan.workers}"
    if plan.micro_batches > 1:
        parts += f" x --micro-batches {plan.micro_batches}"
    for name in plan.methods:
        method = plan.method(name)
        for size in plan.space.batches(method) or (batch_size,):
            if size % (workers * plan.micro_batches):
                raise InvalidInput(f"{parts}: must divide the batch of {plan.task}, {size} examples")
            check_micro_batches(plan.space, (name,), batch_size=size, workers=workers)
        searched = plan.space.dimensions(method).get(BATCH_SIZE)
        if isinstance(searched, Interval) and (workers * plan.micro_batches > 1 or method.update):
            raise InvalidInput(
                f"{plan.space.source}: {BATCH_SIZE} is searched as {searched}, but workers and micro-batches must "
                "divide it: use choice = [...]"
            )


def check_micro_batches(space: Space, methods: tuple[str, ...], *, batch_size: int, workers: int) -> None:
    """Raise `InvalidInput` unless every micro-batch size of the space fits batch and workers."""
    for name in methods:
        method = space.method(name)
        if method.update is None:
            continue
        for value in _micro_batches(space, method):
            check_split(
                name,
                batch_size=batch_size,
                micro_batch=value,
                world_size=workers,
                whole=method.update != "small",
                where=space.source,
            )


def _micro_batches(space: Space, method: Method) -> tuple[int, ...]:
    dimension = space.dimensions(method)["micro_batch"]
    if isinstance(dimension, Interval):
        return tuple(range(int(dimension.low), int(dimension.high) + 1))
    return dimension.values if isinstance(dimension, Choice) else (dimension.published,)
