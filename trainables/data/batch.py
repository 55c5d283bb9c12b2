"""A batch of any shape: tensors in tuples, lists and mappings, nested to any depth; cut, split and moved as one."""

import copy
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor

from ire.invalid_input import InvalidInput
from ire.plain_values import is_list, is_mapping, is_tuple
from trainables.data.untyped import from_numpy

Batch = Any
"""A tensor, or a tuple, a list or a mapping of batches. The first axis of every tensor counts the examples; lists and
arrays with one entry per example are cut with the tensors, and everything else belongs to all examples."""


def examples(batch: Batch) -> int:
    """The number of examples; raises `InvalidInput` for a batch without a tensor that has an axis."""
    first = next((leaf for leaf in leaves(batch) if isinstance(leaf, Tensor) and leaf.ndim), None)
    if first is None:
        raise InvalidInput(
            f"a batch is a {type(batch).__name__} without tensors: it must be a tuple or a mapping of tensors whose "
            "first axis counts the examples"
        )
    return len(first)


def cut(batch: Batch, start: int, stop: int) -> Batch:
    """The examples from `start` up to `stop`, as views."""
    return _cut(batch, start, stop, examples(batch))


def split(batch: Batch, size: int) -> list[Batch]:
    """Consecutive parts of `size` examples; the last one has the remainder."""
    count = examples(batch)
    return [_cut(batch, start, start + size, count) for start in range(0, count, size)]


def chunk(batch: Batch, parts: int) -> list[Batch]:
    """At most that many parts of equal size, as `Tensor.chunk` makes them."""
    return split(batch, max(1, -(-examples(batch) // parts)))


def moved(batch: Batch, device: torch.device | str) -> Batch:
    """The batch with its tensors, and its arrays as tensors, on `device`; copies from pinned memory do not wait."""
    device = torch.device(device)
    waits = device.type != "cuda"

    def move(leaf: Any) -> Any:
        if _is_array(leaf) and leaf.dtype.kind in "biuf":
            leaf = from_numpy(leaf)
        return leaf.to(device, non_blocking=not waits) if isinstance(leaf, Tensor) else leaf

    return mapped(move, batch)


def leaves(batch: Batch) -> list[Any]:
    """Everything that is not a tuple, a list or a mapping, in order."""
    if is_mapping(batch):
        return [leaf for value in batch.values() for leaf in leaves(value)]
    if is_tuple(batch) or is_list(batch):
        return [leaf for value in batch for leaf in leaves(value)]
    return [batch]


def equal(one: Batch, other: Batch) -> bool:
    """Whether two batches are bitwise the same."""
    first, second = leaves(one), leaves(other)
    return len(first) == len(second) and all(map(_same, first, second))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if _is_array(one) and _is_array(other):
        return np.array_equal(one, other)
    return type(one) is type(other) and bool(one == other)


def _is_array(leaf: object) -> TypeGuard[np.ndarray]:
    return isinstance(leaf, np.ndarray)


def _cut(batch: Batch, start: int, stop: int, count: int) -> Batch:
    def part(leaf: Any) -> Any:
        has_rows = (isinstance(leaf, Tensor) or _is_array(leaf)) and leaf.ndim and len(leaf) == count
        return leaf[start:stop] if has_rows else leaf

    def rows(values: Sequence[Any]) -> Sequence[Any] | None:
        """The part of a list with one plain value per example, such as file names; None for any other list."""
        plain = len(values) == count and not any(
            isinstance(value, Tensor | np.ndarray | Mapping | tuple | list) for value in values
        )
        return values[start:stop] if plain else None

    return mapped(part, batch, rows)


def mapped(
    function: Callable[[Any], Any], batch: Batch, rows: Callable[[Any], Any] = lambda _: None
) -> Batch:
    """The same structure with `function` of every leaf; a list for which `rows` answers becomes the answer."""
    if is_mapping(batch):
        values = {key: mapped(function, value, rows) for key, value in batch.items()}
        if type(batch) is dict or not isinstance(batch, MutableMapping):
            return values
        made = copy.copy(batch)  # one of transformers' mappings, with methods of its own
        for key, value in values.items():
            made[key] = value
        return made
    if is_tuple(batch) or is_list(batch):
        if (answer := rows(batch)) is not None:
            return answer
        made = [mapped(function, value, rows) for value in batch]
        if hasattr(batch, "_fields"):
            return type(batch)(*made)
        return tuple(made) if isinstance(batch, tuple) else made
    return function(batch)
