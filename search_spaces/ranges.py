"""Changes the ranges of a space, for `ire sweep --widen`."""

from collections.abc import Mapping
from dataclasses import replace

from search_spaces.contents import Space
from search_spaces.dimensions import Dimension, Interval

Range = tuple[float, float]


def with_ranges(space: Space, ranges: Mapping[tuple[str, str], Range]) -> Space:
    """The space with the given ends of its ranges, by table (`Space.table_of`) and setting."""

    def moved(table: str, dimensions: Mapping[str, Dimension]) -> dict[str, Dimension]:
        found = dict(dimensions)
        for (name, setting), (low, high) in ranges.items():
            dimension = found.get(setting)
            if name == table and isinstance(dimension, Interval):
                found[setting] = replace(dimension, low=low, high=high)
        return found

    return replace(
        space,
        parts={name: moved(name, table) for name, table in space.parts.items()},
        overrides={name: moved(f"methods.{name}", table) for name, table in space.overrides.items()},
        arms={
            name: replace(arm, dimensions=moved(f"arms.{name}", arm.dimensions))
            for name, arm in space.arms.items()
        },
    )


def tables(space: Space) -> dict[str, Mapping[str, Dimension]]:
    """Every table of dimensions, by its name."""
    return {
        **space.parts,
        **{f"methods.{name}": table for name, table in space.overrides.items()},
        **{f"arms.{name}": arm.dimensions for name, arm in space.arms.items()},
    }


def limits(space: Space) -> dict[tuple[str, str], Range]:
    """The limits of each range that has them, by table and setting."""
    return {
        (table, setting): dimension.limits
        for table, dimensions in tables(space).items()
        for setting, dimension in dimensions.items()
        if isinstance(dimension, Interval) and dimension.limits is not None
    }
