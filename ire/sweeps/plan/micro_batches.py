"""Refuses micro-batches that cannot divide a task's batch, before anything starts."""

from ire.methods.method import parse_method
from search_spaces import Choice, Interval, Space
from trainables.updates.micro_batches import check_split


def check_micro_batches(space: Space, methods: tuple[str, ...], *, batch_size: int, workers: int) -> None:
    """Raise `InvalidInput` unless every micro-batch size of the space suits batch and workers."""
    for name in methods:
        method = parse_method(name)
        if method.update is None:
            continue
        dimension = space.dimensions(method)["micro_batch"]
        if isinstance(dimension, Interval):
            values = range(int(dimension.low), int(dimension.high) + 1)
        else:
            values = dimension.values if isinstance(dimension, Choice) else (dimension.published,)
        for value in values:
            check_split(
                name,
                batch_size=batch_size,
                micro_batch=value,
                world_size=workers,
                whole=method.update != "small",
                where=space.source,
            )
