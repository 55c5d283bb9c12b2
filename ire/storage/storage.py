"""One interface to stored files: a local or shared folder, or an object store by its URI.

The interface is small on purpose: whole files, written so that a name is always absent, old or complete. Object stores
(`s3://`, `gs://`, ...) are accessed through pyarrow, with its credentials and query parameters
(`s3://bucket/sweeps?endpoint_override=http://host:port`).
"""

import errno
import os
import shutil
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from ire.foreign_text import without_secrets
from ire.invalid_input import InvalidInput
from ire.storage.conditional_put import put_if_absent
from ire.storage.credentials import with_credentials, without_credentials

Answer = TypeVar("Answer")

PATIENCE = 600.0
"""Seconds for which transient storage errors are retried."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""No space is left on the disk, in the user's quota, or below the limit on a file's size (`ulimit -f`)."""

LASTING = (*FULL, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)
"""Errors that retrying does not mend."""


class Storage(ABC):
    """A flat or nested set of files below one location; names are relative, with `/` between folders."""

    location: str
    """The absolute path or the URI."""

    @abstractmethod
    def names(self, folder: str = "") -> list[str]:
        """The names of the files below `folder`, at any depth, sorted; empty if it does not exist."""

    @abstractmethod
    def size(self) -> int:
        """Total bytes of all files."""

    @abstractmethod
    def modified(self, name: str) -> float:
        """When a file was written, in seconds by the clock of the storage; raises `FileNotFoundError`."""

    @abstractmethod
    def fetch(self, name: str, target: Path) -> None:
        """Copy a file to `target` on this machine; raises `FileNotFoundError`."""

    @abstractmethod
    def put(self, source: Path, name: str) -> None:
        """Move or copy `source`, a file in `scratch`, to `name`, replacing an older file."""

    @abstractmethod
    def scratch(self) -> Path:
        """A local folder from which `put` is cheapest."""

    def create(self, name: str, content: bytes) -> bool | None:
        """Write a small file if it does not exist, atomically; False if it exists, None if not supported."""
        return None

    @abstractmethod
    def delete(self, folder: str = "") -> None:
        """Remove a file, or a folder with its contents; ignores missing ones."""

    def read(self, name: str) -> bytes:
        """The content of a small file; raises `FileNotFoundError`."""
        target = self.scratch() / f".{uuid.uuid4().hex}"
        try:
            self.fetch(name, target)
            return target.read_bytes()
        finally:
            target.unlink(missing_ok=True)

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""
        source = self.scratch() / f".{uuid.uuid4().hex}"
        try:
            with source.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            self.put(source, name)
        finally:
            source.unlink(missing_ok=True)


class Folder(Storage):
    """A folder of a file system."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self.location = str(self._path)

    def names(self, folder: str = "") -> list[str]:
        found = (self._path / folder).rglob("*")
        return sorted(str(path.relative_to(self._path)) for path in found if _is_ours(path))

    def size(self) -> int:
        return sum(path.stat().st_size for path in self._path.rglob("*") if _is_ours(path))

    def modified(self, name: str) -> float:
        return (self._path / name).stat().st_mtime

    def fetch(self, name: str, target: Path) -> None:
        shutil.copyfile(self._path / name, target)

    def put(self, source: Path, name: str) -> None:
        target = self._path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
        _make_durable(target.parent)

    def scratch(self) -> Path:
        self._path.mkdir(parents=True, exist_ok=True)
        return self._path

    def delete(self, folder: str = "") -> None:
        path = self._path / folder
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


class ObjectStore(Storage):
    """A prefix of an object store."""

    _files: Any
    """The file system of pyarrow."""
    _path: str

    def __init__(self, uri: str) -> None:
        self.location = without_credentials(uri)
        try:
            self._files, self._path = _pyarrow_fs().FileSystem.from_uri(with_credentials(self.location))
        except (ValueError, OSError, NotImplementedError) as error:
            raise InvalidInput(
                f"{self.location!r}: not a storage that pyarrow can open ({without_secrets(str(error))})"
            ) from error
        if not self._path.strip("/"):
            raise InvalidInput(f"{self.location!r} names no bucket; write it as in s3://bucket/prefix")

    def names(self, folder: str = "") -> list[str]:
        found = (info.path[len(self._path) + 1 :] for info in self._infos(folder))
        return sorted(name for name in found if ".." not in name.split("/"))  # a key, but no name of ours

    def size(self) -> int:
        return sum(info.size for info in self._infos())

    def _infos(self, folder: str = "") -> list[Any]:
        selector = _pyarrow_fs().FileSelector(self._below(folder), recursive=True, allow_not_found=True)
        return [info for info in self._files.get_file_info(selector) if info.is_file]

    def modified(self, name: str) -> float:
        (info,) = self._files.get_file_info([self._below(name)])
        if not info.is_file:
            raise FileNotFoundError(self._below(name))
        return info.mtime_ns / 1e9

    def fetch(self, name: str, target: Path) -> None:
        with self._files.open_input_stream(self._below(name)) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, 2**20)

    def put(self, source: Path, name: str) -> None:
        path = self._below(name)
        if self._files.type_name not in ("s3", "gcs", "abfs"):  # these have no folders to make
            self._files.create_dir(path.rpartition("/")[0], recursive=True)
        with source.open("rb") as file, self._files.open_output_stream(path) as target:
            shutil.copyfileobj(file, target, 2**20)
        source.unlink()

    def create(self, name: str, content: bytes) -> bool | None:
        if self._files.type_name != "s3":
            return None
        bucket, _, key = self._below(name).partition("/")
        return put_if_absent(with_credentials(self.location), bucket, key, content)

    def scratch(self) -> Path:
        return Path(tempfile.gettempdir())

    def delete(self, folder: str = "") -> None:
        (info,) = self._files.get_file_info([self._below(folder)])
        for name in [folder] if info.is_file else self.names(folder):
            self._files.delete_file(self._below(name))

    def _below(self, name: str) -> str:
        return f"{self._path}/{name}" if name else self._path


def _pyarrow_fs() -> Any:
    """The module, which has no types."""
    # slow to load, and folders do without
    import pyarrow.fs  # pyright: ignore[reportMissingTypeStubs]

    return pyarrow.fs


def is_uri(location: Any) -> bool:
    """Whether `location` is the URI of an object store rather than a path."""
    return "://" in str(location)


def check_uri(location: Any) -> None:
    """Raise `InvalidInput` for a URI that names no bucket, such as `s3://`."""
    parts = urlsplit(str(location))
    if not parts.netloc and parts.scheme != "file":
        raise InvalidInput(f"{str(location)!r} names no bucket; write it as in s3://bucket/prefix")


def below(location: str | Path, *names: str) -> str:
    """The location of a file or folder below `location`, which may be a URI with query parameters."""
    if not is_uri(location):
        return str(Path(location).joinpath(*names))
    check_uri(location)
    parts = urlsplit(str(location))
    return urlunsplit(parts._replace(path="/".join([parts.path.rstrip("/"), *names])))


def open_storage(location: str | Path) -> Storage:
    """The storage at a path or URI, which need not exist; raises `InvalidInput` if pyarrow cannot open it."""
    return ObjectStore(str(location)) if is_uri(location) else Folder(Path(location))


def is_full(error: OSError) -> bool:
    """Whether `error` means that no space is left, so that retrying is useless."""
    return error.errno in FULL


def patiently(action: Callable[[], Answer], *, seconds: float | None = None) -> Answer:
    """`action()`, retried on transient storage errors for at most `seconds` (`PATIENCE`); then raises its `OSError`.

    A full or read-only disk, a missing file and a denied permission are not transient, and are raised at once.
    """
    until = time.monotonic() + (PATIENCE if seconds is None else seconds)
    pause = 0.5
    while True:
        try:
            return action()
        except OSError as error:
            answered = error.errno in LASTING or isinstance(error, FileNotFoundError | PermissionError)
            if answered or time.monotonic() + pause > until:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 15.0)


def _is_ours(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")


def _make_durable(folder: Path) -> None:
    """Make a rename survive a power cut, if the file system supports it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:  # some network file systems refuse it
        pass
    finally:
        os.close(descriptor)
