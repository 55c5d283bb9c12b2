"""Reads prior knowledge from a space file: good points, and methods whose settings are fixed."""

from collections.abc import Callable, Mapping
from typing import Any

from ire.invalid_input import InvalidInput, unknown
from ire.methods.composed import Method
from ire.plain_values import is_list, is_table
from search_spaces.contents import Space
from search_spaces.dimensions import Fixed, holds
from search_spaces.search import FixedPoint
from search_spaces.tables import read_point, table_at, whole_number


def read_known(
    table: Mapping[str, Any], find: Callable[..., Method], source: str
) -> dict[str, list[dict[str, Any]]]:
    """The points of each method under `[[points.NAME]]`; `find` finds a method by its name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, points in table_at(table, "points", source).items():
        where = f"{source}, [[points.{name}]]"
        method = find(name, where=where)
        if not is_list(points) or not all(is_table(point) and point for point in points):
            raise InvalidInput(
                f"{where}: must be one or more tables of settings, each headed [[points.{name}]]"
            )
        found[method.name] = [read_point(point, where) for point in points]
        for point in found[method.name]:
            method.check(point, where=where)
    return found


def read_fixed(table: Mapping[str, Any], find: Callable[..., Method], source: str) -> dict[str, FixedPoint]:
    """The methods that are not searched, under `[fixed.NAME]`."""
    found: dict[str, FixedPoint] = {}
    for name, entries in table_at(table, "fixed", source).items():
        where = f"{source}, [fixed.{name}]"
        method = find(name, where=where)
        if not is_table(entries):
            raise InvalidInput(f"{where}: must be a table of settings")
        cost = whole_number(entries, "search_cost", source=where, low=0) if "search_cost" in entries else None
        settings = read_point({key: value for key, value in entries.items() if key != "search_cost"}, where)
        method.check(settings, where=where)
        found[method.name] = FixedPoint(settings=settings, search_cost=cost)
    return found


def check_known(space: Space) -> None:
    """Raise `InvalidInput` for a known point outside its method's ranges, or of a method that is not searched."""
    for name, point in space.fixed.items():
        arm = space.arms.get(name)
        for setting in point.settings:
            if arm is not None and setting not in arm.dimensions:
                raise unknown("setting", setting, arm.dimensions, where=f"{space.source}, [fixed.{name}]")
    if space.known and space.search.grid:
        raise InvalidInput(
            f"{space.source}: [[points.{next(iter(space.known))}]]: a grid already tries all its points"
        )
    for name, points in space.known.items():
        dimensions, where = space.dimensions(space.method(name)), f"{space.source}, [[points.{name}]]"
        if name in space.fixed:
            raise InvalidInput(
                f"{where}: [fixed.{name}] says that {name} is not searched; remove one of the two"
            )
        for point in points:
            active = space.complete(space.method(name), point)
            for setting, value in point.items():
                dimension = dimensions.get(setting, Fixed(published=None))
                if not holds(dimension, value):
                    raise InvalidInput(
                        f"{where}: {setting} = {value!r} lies outside the range of {name} ({dimension}): "
                        "widen the range, or remove the point"
                    )
                if setting not in active:
                    raise InvalidInput(
                        f"{where}: {setting} = {value!r} has no effect in this point: it is searched only when "
                        f"{dimension.when}"
                    )
