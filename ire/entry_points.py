"""What installed packages register by name: methods (`ire.methods`), tasks (`ire.tasks`), trackers (`ire.loggers`)."""

from functools import cache
from importlib.metadata import EntryPoint, entry_points

METHODS, TASKS, LOGGERS = "ire.methods", "ire.tasks", "ire.loggers"


@cache
def registered(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group, by name; none of them is imported."""
    return {point.name: point for point in entry_points(group=group)}
