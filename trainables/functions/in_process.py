"""Training functions that are not in a file, such as a notebook's: only this process has them, by name.

A function in a file is recorded by its location, so that any process can continue its sweep.
"""

import hashlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ire.invalid_input import InvalidInput

PLACE = "<python>"
"""Used instead of the name of a file or module, in `<python>:train`."""

_FUNCTIONS: dict[str, Callable[[Any], Any]] = {}


def name_of(function: Callable[[Any], Any]) -> str:
    """The name by which `load_workload` finds a function: with its script, its module, or as `<python>:train`."""
    name = getattr(function, "__qualname__", "function")
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    if file is not None and file.startswith("<"):  # "<stdin>" of `python -`
        file = None
    if module is None or file is None or getattr(module, name, None) is not function:
        name = f"{PLACE}:{getattr(function, '__name__', 'function')}"
        _FUNCTIONS[name] = function
        return name
    if module.__name__ != "__main__":
        return f"{module.__name__}:{name}"
    if Path(file).suffix != ".py" or not Path(file).stem.isidentifier():
        raise InvalidInput(
            f"{file!r} cannot be imported; rename it: use only letters, digits and _, then .py"
        )
    return f"{Path(file).resolve()}:{name}"


def is_of_no_file(task: str) -> bool:
    """Whether a task's name is that of a function that is not in a file."""
    return task.partition(":")[0] == PLACE


def hold(task: str, function: Callable[[Any], Any]) -> None:
    """Register `function` under `task`, a name of that form, in this process."""
    _FUNCTIONS[task] = function


def held(task: str) -> Callable[[Any], Any]:
    """The function of that name; raises `InvalidInput` if this process does not have it."""
    if task not in _FUNCTIONS:
        name = task.partition(":")[2]
        written = name if name.isidentifier() else "train"  # a lambda's name is no identifier
        raise InvalidInput(
            f"the sweep's training function {name!r} comes from a notebook or an interactive session: "
            f"put it into a file, such as train.py, and continue from Python: from train import {written}; "
            f"resume(FOLDER, {written})"
        )
    return _FUNCTIONS[task]


def source_checksum(task: str) -> str | None:
    """A checksum of the source of a held function, twelve hexadecimal digits; None if the source is unknown."""
    try:
        return hashlib.sha256(inspect.getsource(_FUNCTIONS[task]).encode()).hexdigest()[:12]
    except (KeyError, OSError, TypeError):
        return None
