"""What TOML, JSON and callers hand over, for the type checker: it learns what a value is, not what is inside."""

from collections.abc import Mapping
from typing import Any, TypeGuard


def is_table(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether it is a table of TOML or JSON."""
    return isinstance(value, dict)


def is_mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether it is a mapping of any kind."""
    return isinstance(value, Mapping)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a number; a Boolean is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether it is a list."""
    return isinstance(value, list)


def is_tuple(value: object) -> TypeGuard[tuple[Any, ...]]:
    """Whether it is a tuple."""
    return isinstance(value, tuple)
