"""The exact k-th smallest of billions of magnitudes, in one pass over them.

A sample yields two keys between which the k-th very probably lies; one pass then counts the keys below and
collects the few between, among which the k-th is found. If the bracket misses (many ties, an unlucky sample), all
values are counted, digit by digit. The result is the same.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ire.optim.mask.keys import Keys
from ire.optim.mask.radix import Picker, Total, kth_key
from ire.optim.tensors.blocks import COUNT_BLOCK, Scratch, blocks
from ire.optim.tensors.typed import numbers

SAMPLE_STRIDE = 61
"""One value in this many is sampled; a prime, so that no column of a matrix is preferred."""
SMALLEST_SAMPLE = 1 << 12
"""The minimum sample size. If the sample would be smaller, all values are counted."""
DEVIATIONS = 4
"""Half the width of the bracket, in standard deviations of the sample's quantile."""
LARGEST_SHARE = 1 / 16
"""The largest share of all values that is collected rather than counted."""
SMALL = 1 << 14
"""Vectors with fewer elements are joined before they are counted."""

Vectors = Callable[[], Iterable[Tensor]]
"""Iterates over the values that this worker counts, as 1-D tensors, the same each time."""


@dataclass(frozen=True)
class Threshold:
    """The k-th smallest key and its rank."""

    key: int
    below: int
    """How many keys are smaller; less than k."""
    equal: int
    """How many keys are equal; below + equal is at least k."""
    equal_here: Sequence[int]
    """How many of those are in each of this worker's vectors."""


def kth_smallest(
    vectors: Vectors, k: int, keys: Keys, total: Total = lambda counts: counts
) -> Threshold | None:
    """The k-th smallest (k from 1) of |values| over all `vectors`; None if any is not finite."""
    bracket = _bracket(vectors, k, keys, total)
    survey = None if bracket is None else _survey(vectors, *bracket, keys, total)
    if bracket is None or survey is None or not survey.below < k <= survey.below + survey.inside:
        return _by_counting(vectors, k, keys, total)
    if not survey.finite:
        return None
    few = survey.few
    if few is None:
        return Threshold(bracket[0], survey.below, survey.inside, survey.inside_here)
    rank = kth_key(lambda: _joined(few), k - survey.below, keys, total)
    assert rank is not None  # all are finite
    here = [int((of_one == rank.key).sum()) for of_one in few]
    return Threshold(rank.key, survey.below + rank.below, rank.equal, here)


def _bracket(vectors: Vectors, k: int, keys: Keys, total: Total) -> tuple[int, int] | None:
    """(first, end): the k-th very probably lies in [first, end); None if unknown."""
    sizes = [[len(vector), len(vector[::SAMPLE_STRIDE])] for vector in vectors()] or [[0, 0]]
    counts: list[int] = numbers(total(torch.tensor(sizes, device="cpu").sum(0)))
    number, sampled = counts
    if sampled < SMALLEST_SAMPLE:
        return None
    sample = _joined([keys.of(vector[::SAMPLE_STRIDE]) for vector in vectors()])
    rank = k / number * sampled
    margin = DEVIATIONS * math.sqrt(rank * max(1 - rank / sampled, 0)) + 1
    low = kth_key(lambda: sample, max(math.floor(rank - margin), 1), keys, total)
    high = kth_key(lambda: sample, min(math.ceil(rank + margin), sampled), keys, total)
    if low is None or high is None:
        return None
    first = low.key if rank - margin >= 1 else 0
    end = high.key + 1 if rank + margin <= sampled else keys.infinity
    few = high.below + high.equal - low.below <= LARGEST_SHARE * sampled
    return (first, end) if few or end - first == 1 else None


class _Survey(NamedTuple):
    """What one pass over the values counts for a bracket, over all workers."""

    below: int
    inside: int
    finite: bool
    inside_here: list[int]
    """By vector, on this worker only."""
    few: list[Tensor] | None
    """The keys inside, by vector, on this worker only; None if the bracket is a single key."""


def _survey(vectors: Vectors, first: int, end: int, keys: Keys, total: Total) -> _Survey | None:
    """Count the keys below `first`, collect those before `end`; None if there are unexpectedly many."""
    below = walked = 0
    infinite = too_many = False
    here: list[int] = []
    few: list[Tensor] | None = None if end - first == 1 else []
    picker, scratch = Picker(first, end), Scratch()
    for vector in vectors():
        here.append(0)
        found = [vector.new_empty(0, dtype=keys.integer)]
        for (block,) in blocks(vector, size=COUNT_BLOCK):
            if too_many:
                break
            bits = keys.of(block, scratch)
            infinite |= int(bits.amax()) >= keys.infinity
            below += picker.flag(bits)
            if few is None:
                here[-1] += picker.flagged()
                continue
            found.append(picker.picked(bits))
            here[-1] += len(found[-1])
            walked += len(bits)
            too_many = sum(here) > 2 * LARGEST_SHARE * walked + COUNT_BLOCK
        if few is not None:
            few.append(torch.cat(found))
    counts = total(torch.tensor([below, sum(here), infinite, too_many], device="cpu"))
    everywhere: list[int] = numbers(counts)
    below, inside, infinite, too_many = everywhere
    return None if too_many else _Survey(below, inside, not infinite, here, few)


def _by_counting(vectors: Vectors, k: int, keys: Keys, total: Total) -> Threshold | None:
    """The same for any values: one pass a digit, and one for `equal_here`."""
    scratch = Scratch()

    def counted() -> Iterator[Tensor]:
        small: list[Tensor] = []
        for vector in vectors():
            if len(vector) < SMALL:
                small.append(keys.of(vector))
                continue
            for (block,) in blocks(vector, size=COUNT_BLOCK):
                yield keys.of(block, scratch)
        yield from _joined(small)

    rank = kth_key(counted, k, keys, total)
    if rank is None:
        return None
    here: list[int] = []
    for vector in vectors():
        bits = (keys.of(block, scratch) for (block,) in blocks(vector, size=COUNT_BLOCK))
        here.append(sum(int(torch.eq(b, rank.key, out=b).sum(dtype=torch.int32)) for b in bits))
    return Threshold(*rank, here)


def _joined(tensors: Iterable[Tensor]) -> list[Tensor]:
    """One vector for each device, in blocks."""
    by_device: dict[torch.device, list[Tensor]] = {}
    for tensor in tensors:
        by_device.setdefault(tensor.device, []).append(tensor)
    return [block for some in by_device.values() for block in torch.cat(some).split(COUNT_BLOCK)]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
