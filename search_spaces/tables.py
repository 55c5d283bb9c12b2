"""Reads the tables of a space file: dimensions by setting, and plain numbers."""

from collections.abc import Mapping
from typing import Any

from ire.invalid_input import InvalidInput, unknown
from ire.methods.part import Part
from ire.methods.setting import Setting
from ire.methods.task_settings import PREFIX, check_of_task, is_of_task
from ire.plain_values import is_table
from search_spaces.dimensions import Dimension, Interval, ends, read_dimension


def settings_of(*parts: Part) -> dict[str, Setting]:
    """The settings and options that the tables of these parts may contain."""
    return {
        name: setting for part in parts for name, setting in (*part.settings.items(), *part.options.items())
    }


def read_dimensions(entries: Any, settings: Mapping[str, Setting], *, where: str) -> dict[str, Dimension]:
    """The dimensions of a table, whose values must be valid for `settings`; raises `InvalidInput`.

    Any table may contain attributes of the task, such as `task.dropout`.
    """
    if not is_table(entries):
        raise InvalidInput(f"{where}: must be a table")
    dimensions: dict[str, Dimension] = {}
    for name, value in read_point(entries, where).items():
        place = f"{where}, {name}"
        if is_of_task(name):
            dimensions[name] = _of_task(name, value, where=where)
            continue
        if name not in settings:
            allowed = ", ".join(sorted(settings))
            raise InvalidInput(
                f"{unknown('setting', name, settings, where=where)}; an attribute of the task is {PREFIX}{name}"
                if name.isidentifier()
                else f"{place}: no setting; allowed: {allowed}"
            )
        dimension = read_dimension(value, where=place)
        for end in (*ends(dimension), *(getattr(dimension, "limits", None) or ())):
            settings[name].check(name, end, where=where)
        if settings[name].type is int and isinstance(dimension, Interval) and not dimension.integer:
            raise InvalidInput(f"{place}: takes whole numbers: use integer = [low, high]")
        dimensions[name] = dimension
    return dimensions


def _of_task(name: str, value: Any, *, where: str) -> Dimension:
    dimension = read_dimension(value, where=f"{where}, {name}")
    for end in (*ends(dimension), *(getattr(dimension, "limits", None) or ())):
        check_of_task(name, end, where=where)
    return dimension


def read_point(entries: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Settings and their values, those in a table `task` by their full names: `task.dropout`."""
    inside = PREFIX.rstrip(".")
    if inside not in entries:
        return dict(entries)
    table = entries[inside]
    if not is_table(table):
        raise InvalidInput(
            f"{where}: {inside} = {table!r}: must be a table of attributes, such as {PREFIX}dropout = 0.1"
        )
    own = {name: value for name, value in entries.items() if name != inside}
    return own | {PREFIX + name: value for name, value in table.items()}


def table_at(table: Mapping[str, Any], key: str, source: str) -> dict[str, Any]:
    """The table under a key; empty if there is none."""
    value = table.get(key, {})
    if not is_table(value):
        raise InvalidInput(f"{source}: {key} = {value!r}: must be a table, [{key}]")
    return value


def whole_number(
    table: Mapping[str, Any],
    key: str,
    *,
    source: str,
    low: int = 1,
    high: int | None = None,
    default: int | None = None,
) -> int:
    """The whole number under a key; raises `InvalidInput` for another value, or if it is missing without a default."""
    value = table.get(key, default)
    if value is None:
        raise InvalidInput(f"{source}: {key} is missing")
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or value < low
        or (high is not None and value > high)
    ):
        limit = f"from {low} to {high}" if high is not None else f"of at least {low}"
        raise InvalidInput(f"{source}: {key} = {value!r}: must be an integer {limit}")
    return value
