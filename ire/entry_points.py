"""Installed packages: what they register by name, and which files are theirs.

Methods are registered as `ire.methods`, tasks as `ire.tasks`, trackers as `ire.loggers`.
"""

import site
import sysconfig
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

METHODS, TASKS, LOGGERS = "ire.methods", "ire.tasks", "ire.loggers"
OURS = ("ire", "trainables", "search_spaces")


@cache
def registered(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group, by name; none of them is imported."""
    return {point.name: point for point in entry_points(group=group)}


@cache
def package_folders() -> tuple[Path, ...]:
    """The folders of installed packages: of this environment, of the one that it extends, and of this user."""
    found = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    found += [*site.getsitepackages(), site.getusersitepackages()]
    return tuple(Path(folder).resolve() for folder in found)


def is_installed(file: Path) -> bool:
    """Whether a file belongs to Python, to an installed package or to us, and not to a user's own code."""
    ours = (Path(__file__).resolve().parents[1] / name for name in OURS)
    python = (Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "scripts"))
    return any(file.resolve().is_relative_to(folder) for folder in (*ours, *python, *package_folders()))
