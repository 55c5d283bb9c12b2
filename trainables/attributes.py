"""The attributes of a task that a search may set, and copies of a task with other ones."""

import copy
from functools import cached_property
from typing import Any, TypeVar

from ire.invalid_input import InvalidInput, unknown
from ire.methods.setting import KINDS
from ire.methods.task_settings import KEPT

T = TypeVar("T")


def check_attribute(task: Any, name: str, value: object) -> None:
    """Raise `InvalidInput` unless `task` has the attribute `name`, of the type of `value`, and a search may set it."""
    plain = {
        key
        for holder in (*(vars(base) for base in reversed(type(task).__mro__)), vars(task))
        for key, found in holder.items()
        if not key.startswith("_") and isinstance(found, bool | int | float | str | None)
    }
    plain -= set(KEPT)
    if name not in plain:
        raise unknown("attribute", name, sorted(plain), where=f"the task {task.name}, that a search may set")
    own = getattr(task, name)
    kinds = {bool: bool, int: int, float: (int, float), str: str}.get(type(own), object)
    if not isinstance(value, kinds) or (isinstance(value, bool) and not isinstance(own, bool | None)):
        raise InvalidInput(
            f"task.{name} = {value!r}: must be {KINDS[type(own)]}, as the {own!r} that {task.name} has"
        )


def fresh_copy(task: T) -> T:
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
