"""Settings of a trial that are attributes of its task: `task.dropout` beside a method's own settings."""

import math
from collections.abc import Mapping
from typing import Any

from ire.invalid_input import InvalidInput, unknown
from ire.methods.setting import KINDS

PREFIX = "task."
BATCH_SIZE = f"{PREFIX}batch_size"
KEPT = ("name", "study", "tiny", "original", "data")
"""Attributes that identify the task: searching them would compare different tasks."""


def is_of_task(name: str) -> bool:
    """Whether a setting is an attribute of the task."""
    return name.startswith(PREFIX)


def attributes(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of the task among `settings`, by their own names."""
    return {name.removeprefix(PREFIX): value for name, value in settings.items() if is_of_task(name)}


def check_of_task(name: str, value: Any, *, where: str = "") -> Any:
    """`value` itself; raises `InvalidInput` for a name or value that no attribute can have.

    `Task.with_attributes` checks whether the task has such an attribute.
    """
    place = f" in {where}" if where else ""
    attribute = name.removeprefix(PREFIX)
    if not attribute.isidentifier() or attribute.startswith("_"):
        raise InvalidInput(
            f"{name}{place}: must be {PREFIX} and the name of an attribute, such as {PREFIX}dropout"
        )
    if attribute in KEPT:
        raise InvalidInput(f"{name}{place}: {attribute} identifies the task and cannot be searched")
    if not isinstance(value, bool | int | float | str) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        raise InvalidInput(f"{name} = {value!r}{place}: must be a finite number, a string or a Boolean")
    if name == BATCH_SIZE and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise InvalidInput(f"{name} = {value!r}{place}: must be a whole number of at least 1")
    return value


def check_attribute(task: Any, name: str, value: object) -> None:
    """Raise `InvalidInput` unless `task` has the attribute `name`, of the type of `value`, and a search may set it."""
    classes: tuple[type, ...] = type(task).__mro__
    holders: list[Mapping[str, Any]] = [*map(vars, classes), vars(task)]
    plain = {
        key
        for holder in holders
        for key, found in holder.items()
        if not key.startswith("_") and isinstance(found, bool | int | float | str | None)
    }
    plain -= set(KEPT)
    if name not in plain:
        raise unknown("attribute", name, sorted(plain), where=f"the task {task.name}")
    own: object = getattr(task, name)
    kind = type(own)
    kinds = (int, float) if kind is float else (kind if kind in KINDS else object,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and not isinstance(own, bool | None)):
        remedy = "; search it with integer or choice" if kind is int and isinstance(value, float) else ""
        raise InvalidInput(
            f"task.{name} = {value!r}: must be {KINDS[kind]}, like the {own!r} that {task.name} has{remedy}"
        )
