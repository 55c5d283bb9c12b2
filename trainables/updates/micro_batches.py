"""A batch in micro-batches of a given number of examples: their sizes, workers and weights."""

from ire.invalid_input import InvalidInput
from trainables.data.batch import Batch, chunk, split


def sizes(batch_size: int, micro_batch: int) -> list[int]:
    """Examples of each micro-batch, in order: `micro_batch` each; the last one has the remainder."""
    return [min(micro_batch, batch_size - start) for start in range(0, batch_size, micro_batch)]


def weights(batch_size: int, micro_batch: int) -> list[float]:
    """The weight of each micro-batch in the mean: its share of the examples.

    So the weighted mean over micro-batches of means over examples is the mean over the batch, even if the last one is
    smaller. (The released code of Novack et al. 2023 divides by the full number of micro-batches even if the last group
    of an epoch has fewer, which shortens the step; batches here are always full.)
    """
    return [size / batch_size for size in sizes(batch_size, micro_batch)]


def whole_micro_batches(
    batch: Batch, micro_batch: int, *, rank: int, world_size: int
) -> tuple[int, list[Batch]]:
    """This worker's contiguous share of the micro-batches, each of them whole, and the number of the first one."""
    every = split(batch, micro_batch)
    share = len(every) // world_size
    first = rank * share
    return first, every[first : first + share]


def shared_micro_batches(batch: Batch, micro_batch: int, *, rank: int, world_size: int) -> list[Batch]:
    """This worker's contiguous part of every micro-batch."""
    return [chunk(part, world_size)[rank] for part in split(batch, micro_batch)]


def check_split(
    method: str, *, batch_size: int, micro_batch: int, world_size: int, whole: bool, where: str = ""
) -> None:
    """Raise `InvalidInput` unless a batch can be split like this; `whole`: each micro-batch is on one worker."""
    place = f" in {where}" if where else ""
    if micro_batch > batch_size:
        raise InvalidInput(
            f"micro_batch = {micro_batch}{place}: must be an integer in [1, {batch_size}], {method} splits a batch of "
            f"{batch_size} examples"
        )
    if world_size == 1:
        return
    if batch_size % micro_batch:
        raise InvalidInput(
            f"micro_batch = {micro_batch}{place}: must divide the batch of {batch_size} examples, since {method} runs "
            f"on {world_size} workers; with one worker the last micro-batch may be smaller"
        )
    count = batch_size // micro_batch
    if whole and count % world_size:
        raise InvalidInput(
            f"micro_batch = {micro_batch}{place}: {count} micro-batches of {method} cannot be dealt evenly to "
            f"{world_size} workers; each must stay whole"
        )
    if not whole and micro_batch % world_size:
        raise InvalidInput(
            f"micro_batch = {micro_batch}{place}: must be a multiple of {world_size}, since {method} splits each "
            f"micro-batch over as many workers"
        )
