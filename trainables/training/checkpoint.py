"""The checkpoints of one trial: the two latest, each with a checksum, read without running code.

A checkpoint's name is its step and the checksum of its content, so a file that was truncated, damaged or half
copied is recognised, and the one before it is used.
"""

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch.serialization import (
    default_restore_location,  # pyright: ignore[reportUnknownVariableType] - torch's type is incomplete
)

from ire.storage.storage import Storage, is_uri, open_storage

KEPT = 2
NAME = re.compile(r"(\d{10})-([0-9a-f]{32})\.pt")


def save_checkpoint(state: dict[str, Any], location: str | Path, *, kept: int | None = KEPT) -> None:
    """Add `state` (tensors and plain Python values, `step` among them) to the checkpoints at `location`.

    All but the last `kept` checkpoints are deleted, or none if it is None. Raises `OSError` if the state cannot be
    written; older checkpoints then stay untouched.
    """
    storage = open_storage(location)
    descriptor, scratch = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=storage.scratch())
    temporary = Path(scratch)
    try:
        with _Hashed(os.fdopen(descriptor, "wb")) as file:
            try:
                torch.save(state, cast(IO[bytes], file))  # torch uses only `write` and `flush`
            except RuntimeError:  # torch's zip writer fails on its position, and hides the error of `write`
                if file.error is not None:
                    raise file.error from None
                raise
        storage.put(temporary, f"{state['step']:010d}-{file.checksum}.pt")
    finally:
        temporary.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # a later checkpoint removes the rest
        for name, *_ in _checkpoints(storage)[:-kept] if kept else ():
            storage.delete(name)


def load_checkpoint(
    location: str | Path, *, device: torch.device | str = "cpu", at_most: int | None = None
) -> dict[str, Any] | None:
    """The latest intact state at `location`, of step `at_most` or before, or None if there is none.

    Tensors that an accelerator held are on `device`; those that the host held, such as the step counts of some
    optimizers and the states of generators, are there again.
    """
    if not is_uri(location) and not Path(location).is_dir():
        return None
    storage = open_storage(location)
    for name, step, checksum in reversed(_checkpoints(storage)):
        if at_most is not None and step > at_most:
            continue
        descriptor, scratch = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=storage.scratch())
        os.close(descriptor)
        temporary = Path(scratch)
        try:
            storage.fetch(name, temporary)
            with temporary.open("rb") as file:
                if hashlib.file_digest(file, _checksum).hexdigest() == checksum:
                    return torch.load(temporary, map_location=placed_on(device), weights_only=True)
        finally:
            temporary.unlink(missing_ok=True)
    return None


def placed_on(device: torch.device | str) -> Callable[[Any, str], Any]:
    """For `torch.load`: a storage that was saved on `location`, where it belongs."""
    return lambda storage, location: (
        storage if location == "cpu" else default_restore_location(storage, str(device))
    )


def _checkpoints(storage: Storage) -> list[tuple[str, int, str]]:
    """Name, step and checksum of each checkpoint, oldest first."""
    matches = map(NAME.fullmatch, storage.names())
    return [(match[0], int(match[1]), match[2]) for match in matches if match]


def _checksum() -> Any:
    return hashlib.blake2b(digest_size=16)


class _Hashed:
    """A file opened for writing that computes its content's checksum, and is durable once closed."""

    def __init__(self, file: Any) -> None:
        self._file, self._hash = file, _checksum()
        self.error: OSError | None = None
        """Why the last write failed, if it did."""

    @property
    def checksum(self) -> str:
        return self._hash.hexdigest()

    def write(self, data: Any) -> int:
        self._hash.update(data)
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()

    def __enter__(self) -> "_Hashed":
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        finally:
            self._file.close()
