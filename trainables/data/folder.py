"""Where data lives on this machine: `IRE_DATA`, or a folder in the user's cache."""

import os
from pathlib import Path

VARIABLE = "IRE_DATA"


def data_folder() -> Path:
    """The folder that holds one folder for each data set."""
    return Path(os.environ.get(VARIABLE) or Path.home() / ".cache" / "ire" / "data").expanduser()


def given_data_folder(folder: str | os.PathLike | None) -> str | None:
    """The folder that a user chose, by argument or environment, as an absolute path; None if by neither."""
    chosen = folder or os.environ.get(VARIABLE)
    return str(Path(chosen).expanduser().resolve()) if chosen else None


def use_data_folder(folder: str | os.PathLike | None) -> None:
    """Let this process and those it starts look for data in `folder`; None changes nothing."""
    if folder:
        os.environ[VARIABLE] = str(Path(folder).expanduser().resolve())
