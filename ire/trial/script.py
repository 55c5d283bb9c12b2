"""A task may be a function in a file: its name is `train.py:train`, and the folder of the file is kept beside it."""

import sys

from ire.entry_points import OURS
from ire.extras import extra_of
from ire.invalid_input import InvalidInput, expanded
from ire.methods.foreign import find_in
from ire.trial.scale import scaled, split_scale

SUFFIX = ".py"


def is_script(task: str) -> bool:
    """Whether a task's name is that of a function in a file."""
    return split_scale(task)[0].partition(":")[0].endswith(SUFFIX)


def located(task: str) -> tuple[str, str | None]:
    """A task as a sweep records it, and the folder of its script, absolute: `train.py:train` of `sub/train.py:train`.

    Any other task is returned as it is, without a folder. Raises `InvalidInput` if the script is not there.
    """
    if not is_script(task):
        return task, None
    name, scale = split_scale(task)
    place, _, function = name.partition(":")
    path = expanded(place).resolve()
    if not path.is_file():
        raise InvalidInput(f"task {name!r}: there is no file {str(path)!r}")
    if not path.stem.isidentifier():
        raise InvalidInput(
            f"task {name!r}: {path.name!r} cannot be imported; rename it: letters, digits and _ alone, then .py"
        )
    if path.stem in sys.stdlib_module_names or path.stem in (*OURS, "torch") or extra_of(path.stem):
        raise InvalidInput(
            f"task {name!r}: {path.name!r} would be imported in place of the module {path.stem!r}, which others need; "
            "rename it"
        )
    if not function:
        raise InvalidInput(f"task {name!r}: name its function, too, as in {place}:train")
    return scaled(f"{path.name}:{function}", scale), str(path.parent)


def search_beside(task: str) -> None:
    """Also search the folder of a task's script for modules, as for an optimizer that the script's space names."""
    _, folder = located(task)
    if folder is not None:
        find_in([folder])
