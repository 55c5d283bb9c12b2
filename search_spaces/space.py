"""Finds the space file of a task: the package's, one beside the task or script, or a named file."""

import sys
from importlib import resources
from pathlib import Path

from ire.entry_points import TASKS, registered
from ire.invalid_input import InvalidInput, expanded, unknown
from ire.trial.scale import split_scale
from ire.trial.script import is_script, search_beside
from search_spaces.contents import Space
from search_spaces.parsing import overlaid, parse_space

__all__ = ["Space", "find_space", "overlaid", "parse_space", "space_names"]


def space_names() -> list[str]:
    """The tasks that have a space in the package."""
    files = resources.files("search_spaces").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def find_space(task: str, path: str | Path | None = None) -> Space:
    """The space of `task`: the file at `path`, or the one that comes with the task; raises `InvalidInput`.

    For a task of the package the file is in this folder, for any other task beside its module, as `<its name>.toml`.
    The space of a scaled-down twin, `NAME@tiny`, is that of the task with the changes under `[tiny]` in its file.
    """
    search_beside(task)
    is_registered = split_scale(task)[0] in registered(TASKS) and split_scale(task)[0] not in space_names()
    if path is None and is_script(task):
        path = _beside_script(task)
    elif path is None and (":" in task or is_registered):
        path = _beside(task)
    if path is None:
        name, _ = split_scale(task)
        if name not in space_names():
            raise unknown("task", name, [*space_names(), "package.module:Class"])
        file = resources.files("search_spaces") / f"{name}.toml"
        return parse_space(file.read_text(encoding="utf-8"), task=task, source=f"{name}.toml")
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InvalidInput(f"--space {str(path)!r}: there is no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read the space file {str(path)!r}: {error}") from error
    return parse_space(text, task=task, source=str(path))


def _beside_script(task: str) -> Path:
    script = expanded(split_scale(task)[0].partition(":")[0])
    file = script.with_suffix(".toml")
    if not file.exists():
        raise InvalidInput(
            f"task {task!r} has no search space: {str(file)!r} does not exist; write it, or give --space FILE "
            "(docs/bring-your-own.md has one)"
        )
    return file


def _module_file(name: str, task: str) -> Path:
    """The file of a module that has been imported; raises `InvalidInput` if it has none, as in a notebook."""
    file = getattr(sys.modules[name], "__file__", None)
    if file is None:
        raise InvalidInput(
            f"task {task!r}: {name} has no file, so no search space beside it; give --space FILE"
        )
    return Path(file)


def _beside(task: str) -> Path:
    from trainables.functions.function import TrainingFunction, load_workload  # only here: it imports torch

    loaded = load_workload(task)
    if isinstance(loaded, TrainingFunction):
        file = _module_file(loaded.call.__module__, task).with_suffix(".toml")
    else:
        found = type(loaded)
        file = _module_file(found.__module__, task).with_name(f"{found.name}.toml")
    if not file.exists():
        raise InvalidInput(
            f"task {task!r} has no search space: {file} does not exist; write it, or give --space FILE"
        )
    return file
