"""Training functions that no file holds, such as a notebook's: this process has them, under a name of theirs.

A function that a file holds is recorded by where it is found, so that any process can continue its sweep.
"""

import hashlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ire.invalid_input import InvalidInput

PLACE = "<python>"
"""Stands where the name of a file or module would, in `<python>:train`."""

_FUNCTIONS: dict[str, Callable[[Any], Any]] = {}


def name_of(function: Callable[[Any], Any]) -> str:
    """The name by which `load_workload` finds a function: its script's, its module's, or `<python>:train`."""
    name = getattr(function, "__qualname__", "function")
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    if module is None or file is None or getattr(module, name, None) is not function:
        name = f"{PLACE}:{getattr(function, '__name__', 'function')}"
        _FUNCTIONS[name] = function
        return name
    if module.__name__ != "__main__":
        return f"{module.__name__}:{name}"
    if Path(file).suffix != ".py" or not Path(file).stem.isidentifier():
        raise InvalidInput(f"{file!r} cannot be imported; rename it: letters, digits and _ alone, then .py")
    return f"{Path(file).resolve()}:{name}"


def is_of_no_file(task: str) -> bool:
    """Whether a task's name is that of a function that no file holds."""
    return task.partition(":")[0] == PLACE


def hold(task: str, function: Callable[[Any], Any]) -> None:
    """Let `task`, a name of that form, be `function` in this process from here on."""
    _FUNCTIONS[task] = function


def held(task: str) -> Callable[[Any], Any]:
    """The function of that name; raises `InvalidInput` if this process does not have it."""
    if task not in _FUNCTIONS:
        name = task.partition(":")[2]
        written = name if name.isidentifier() else "train"  # a lambda has none
        raise InvalidInput(
            f"the sweep's training function {name!r} is of a notebook or an interactive session, and no file holds "
            f"it: put it into one, as train.py, and continue from Python: from train import {written}; "
            f"resume(FOLDER, {written})"
        )
    return _FUNCTIONS[task]


def source_checksum(task: str) -> str | None:
    """Twelve hexadecimal digits of the source of a function that is held; None if its source is not known."""
    try:
        return hashlib.sha256(inspect.getsource(_FUNCTIONS[task]).encode()).hexdigest()[:12]
    except (KeyError, OSError, TypeError):
        return None
