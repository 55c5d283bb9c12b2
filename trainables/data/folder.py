"""Where data lives on this machine: `IRE_DATA`, or a folder in the user's cache."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ire.invalid_input import expanded

VARIABLE = "IRE_DATA"


def data_folder() -> Path:
    """The folder that holds one folder for each data set."""
    return expanded(os.environ.get(VARIABLE) or "~/.cache/ire/data")


def given_data_folder(folder: str | os.PathLike[str] | None) -> str | None:
    """The folder that a user chose, by argument or environment, as an absolute path; None without either."""
    chosen = folder or os.environ.get(VARIABLE)
    return str(expanded(chosen).resolve()) if chosen else None


@contextmanager
def data_in(folder: str | os.PathLike[str] | None) -> Generator[None, None, None]:
    """Let this process, and those it starts, look for data in `folder` inside the block; None changes nothing."""
    before = os.environ.get(VARIABLE)
    if folder:
        os.environ[VARIABLE] = str(expanded(folder).resolve())
    try:
        yield
    finally:
        if folder and before is None:
            del os.environ[VARIABLE]
        elif before is not None:
            os.environ[VARIABLE] = before
