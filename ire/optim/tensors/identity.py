"""Compares sequences by identity: == on tensors compares values, and a Python loop is slow."""

import operator
from collections.abc import Iterable, Sequence


def same(some: Iterable[object], others: Sequence[object]) -> bool:
    """Whether both have the same objects in the same order."""
    some = list(some)
    return len(some) == len(others) and all(map(operator.is_, some, others))
