"""The place of an experiment, as the rest of the code sees it: a local folder with its small files.

An experiment is stored in a folder, or in an object store (`ire.sweeps.records.store_home`).
"""

import contextlib
import os
import re
import shlex
from abc import ABC, abstractmethod
from pathlib import Path

from ire.invalid_input import InvalidInput
from ire.storage.storage import below, open_storage
from ire.sweeps.records.experiment_lock import folder_locked

RECORDS = ("results.jsonl", "trials.jsonl")
"""In the order of publication: an event states how many results preceded it."""

OUTPUTS = ("report/", "export/")
"""Folders of outputs that any reader of an experiment may add."""

PREFIXES = "prefixes"
"""Folder of states that trials share, until the sweep is complete."""

SAVED = re.compile(r"\d{10}-[0-9a-f]{32}\.pt|\..*\.tmp")
"""Files of a state (`trainables.training.checkpoint`). Where `checkpoints` is a link, nothing else is deleted.

It may lead to another disk, or in a stranger's experiment anywhere.
"""


class ExperimentHome(ABC):
    """The place of one experiment."""

    location: str
    """The folder or the URI."""
    folder: Path
    """The local folder of the small files."""
    is_mirrored: bool
    """Whether `folder` is a temporary copy of the place, which this process deletes at its end."""

    @property
    def argument(self) -> str:
        """The location as typed in a shell, relative if it is below the current folder."""
        with contextlib.suppress(
            OSError, ValueError
        ):  # the current folder was deleted, or the location is elsewhere
            return shlex.quote(str(Path(self.location).relative_to(os.getcwd())))
        return shlex.quote(self.location)

    def below(self, *names: str) -> str:
        """The location of a file or folder in it, for workers on any machine."""
        return below(self.location, *names)

    @abstractmethod
    def create(self) -> None:
        """Create an empty place."""

    @abstractmethod
    def open(self) -> None:
        """Fetch the files that a resume or a report needs; raises `InvalidInput` if they cannot be read."""

    @abstractmethod
    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Hold its lock until the process ends at the latest; raises `InvalidInput` if another process has it."""

    @abstractmethod
    def publish_records(self) -> None:
        """Make the records so far durable in the place itself; requires the lock."""

    @abstractmethod
    def publish(self) -> None:
        """Copy all changed files to the place itself; requires the lock."""

    @abstractmethod
    def publish_outputs(self) -> None:
        """Copy reports and exports to the place itself; requires no lock."""

    @abstractmethod
    def clear(self, folder: str) -> None:
        """Remove everything below `folder`. Failures are ignored: leftovers only cost disk space."""

    @abstractmethod
    def fetch(self, folder: str) -> None:
        """Fetch the files below `folder`."""


class FolderHome(ExperimentHome):
    """A folder of this machine, or of a file system that all machines share."""

    is_mirrored = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.location = str(folder)

    def create(self) -> None:
        try:
            self.folder.mkdir(parents=True)
        except FileExistsError:
            raise InvalidInput(
                f"experiment {self.location!r} exists: another sweep of this --name began at the same time; "
                "choose another"
            ) from None

    def open(self) -> None:
        """Nothing: the folder is the place."""

    def check(self) -> None:
        """Raise `InvalidInput` for a path in which TOML and TensorBoard cannot write their files."""
        if re.search("[\ud800-\udfff]", self.location):
            raise InvalidInput(
                f"{self.location!r}: the names of its folders must be UTF-8; choose another one"
            )

    def locked(self) -> contextlib.AbstractContextManager[None]:
        self.check()
        return folder_locked(self.folder)

    def publish_records(self) -> None:
        """Nothing, for the same reason."""

    def publish(self) -> None:
        """Nothing, for the same reason."""

    def publish_outputs(self) -> None:
        """Nothing, for the same reason."""

    def clear(self, folder: str) -> None:
        with contextlib.suppress(OSError):
            place = (self.folder / folder).resolve()
            if place.is_relative_to(self.folder.resolve()):
                open_storage(self.location).delete(folder)
                return
            for name in filter(SAVED.fullmatch, os.listdir(place)):
                (place / name).unlink()
            place.rmdir()  # fails unless it is empty now

    def fetch(self, folder: str) -> None:
        """Nothing: the folder is the place."""
