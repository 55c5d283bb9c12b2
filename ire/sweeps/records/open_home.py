"""Opens the home of an existing experiment, or names that of a new one, by its folder or URI."""

import os
from pathlib import Path

from ire.foreign_text import without_secrets
from ire.invalid_input import InvalidInput
from ire.storage.storage import below, check_uri, is_uri
from ire.sweeps.records.experiment_home import ExperimentHome, FolderHome
from ire.sweeps.records.store_home import CREDENTIALS, StoreHome


def home_at(location: str | Path) -> ExperimentHome:
    """The home of the experiment at a folder or URI; raises `InvalidInput` if there is none."""
    if store := is_uri(location):
        check_uri(location)
    home = StoreHome(str(location).rstrip("/")) if store else FolderHome(Path(location).resolve())
    home.open()
    if not (home.folder / "sweep.toml").is_file():
        raise InvalidInput(
            f"{home.location!r} is not an experiment folder: it has no sweep.toml; `ire list` shows the experiments"
        )
    return home


def new_home(storage: str | Path, name: str) -> ExperimentHome:
    """The home of a new experiment; raises `InvalidInput` if it cannot be created there. Writes nothing."""
    if is_uri(storage):
        home = StoreHome(below(storage, name))
        try:
            exists = home.exists
        except OSError as error:
            raise InvalidInput(
                f"--storage {without_secrets(str(storage))!r}: cannot be read ({error}); {CREDENTIALS}"
            ) from error
        if exists:
            raise _exists(home)
        return home
    home = FolderHome((Path(storage) / name).resolve())
    home.check()
    if os.path.lexists(home.folder) or os.path.lexists(Path(storage) / name):  # a link could lead out of it
        raise _exists(home)
    parent = next(path for path in home.folder.parents if os.path.exists(path))
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise InvalidInput(f"--storage {str(storage)!r}: {str(parent)!r} is not a writable folder")
    return home


def _exists(home: ExperimentHome) -> InvalidInput:
    # A kill right at the start leaves no plan.
    is_one = home.is_mirrored or (home.folder / "sweep.toml").is_file()
    other = (
        f", or `ire resume {home.argument}`" if is_one else "; it has no sweep.toml, so it cannot be resumed"
    )
    return InvalidInput(f"experiment {home.location!r} exists: choose another --name{other}")
