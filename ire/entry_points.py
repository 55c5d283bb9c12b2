"""What installed packages register by name: optimizers under `ire.methods`, tasks under `ire.tasks`."""

from functools import cache
from importlib.metadata import EntryPoint, entry_points

METHODS, TASKS = "ire.methods", "ire.tasks"


@cache
def registered(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group, by name; none of them is imported."""
    return {point.name: point for point in entry_points(group=group)}
