"""Packs a trainer's checkpoint, a folder of files, into plain tensors, so that `trial.save` can store it."""

import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

import numpy as np
from torch import Tensor

from ire.invalid_input import InvalidInput
from trainables.data.untyped import from_numpy
from trainables.functions.trial import Trial


class KeptFiles:
    """The checkpoint of an interrupted trial, unpacked until the trainer has read it."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.is_asked = False
        """Whether the script has requested it, and so passes it to the trainer."""

    def folder(self) -> Path | None:
        """The folder with its files; None if the trial starts from the beginning."""
        self.is_asked = True
        saved = self._trial.saved
        if saved is None:
            return None
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="ire-checkpoint-")
            unpack(saved["files"], Path(self._folder.name))
        return Path(self._folder.name)

    def forget(self) -> bool:
        """Remove the files, which have been read; returns whether there were any."""
        if self._folder is None:
            return False
        self._folder.cleanup()
        self._folder = None
        return True


def packed(folder: Path, *, without: Collection[str] = ()) -> dict[str, Tensor]:
    """The bytes (n,) of every file below `folder`, by path with forward slashes, except the names in `without`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in without)
    return {path.relative_to(folder).as_posix(): _bytes(path) for path in files}


def _bytes(path: Path) -> Tensor:
    found = np.fromfile(path, dtype=np.uint8)
    return from_numpy(found)


def unpack(files: Mapping[str, Tensor], folder: Path) -> None:
    """Write the files below the existing `folder`; raises `InvalidInput` for a path that leads out of it."""
    for name, content in files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
            raise InvalidInput(f"the checkpoint contains a file {name!r}, which lies outside of its folder")
        target = folder.joinpath(*path.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        content.cpu().numpy().tofile(target)
