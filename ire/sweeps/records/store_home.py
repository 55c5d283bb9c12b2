"""An experiment in an object store, whose small files are mirrored in a temporary folder.

An object store cannot append, so the records there are numbered segments that are read as one file. Workers write
checkpoints to the store directly.
"""

import contextlib
import re
import tempfile
import threading
from pathlib import Path

from ire.invalid_input import InvalidInput
from ire.storage.storage import open_storage, patiently
from ire.sweeps.records.experiment_home import OUTPUTS, RECORDS, ExperimentHome
from ire.sweeps.records.experiment_lock import Lease

PUBLISHED = ("sweep.toml", "optuna.log", "ray.log", "trials/", *OUTPUTS)
"""Files copied to an object store besides the records; from `trials/` only TensorBoard's event files."""

FAN_IN = 16
"""Number of segments that are merged into one."""

READ_ATTEMPTS = 10
"""Attempts of a reader to list segments while a writer merges them."""

CREDENTIALS = (
    "its credentials come from the environment (AWS_ACCESS_KEY_ID, ...) or are given in the URI each time"
)
"""A hint for a store that cannot be read, since credentials are never stored."""


class StoreHome(ExperimentHome):
    """A prefix of an object store."""

    is_mirrored = True

    def __init__(self, location: str) -> None:
        self._store = open_storage(location)
        self.location = location = self._store.location
        self._mirror = tempfile.TemporaryDirectory(prefix="ire-")
        self.folder = Path(self._mirror.name)
        self._segments: dict[str, list[tuple[int, int, int]]] = {name: [] for name in RECORDS}
        """First byte, end and level of each segment, without gaps, by file."""
        self._published: dict[Path, tuple[float, int]] = {}
        self._publishing = threading.Lock()
        self._lease = Lease(self._store, location)

    @property
    def exists(self) -> bool:
        """Whether the store has an experiment at this location."""
        return "sweep.toml" in self._store.names()

    def create(self) -> None:
        """Nothing: a store has no folders."""

    def open(self) -> None:
        for attempt in range(READ_ATTEMPTS):
            try:
                return self._open()
            except OSError as error:
                merged = isinstance(
                    error, FileNotFoundError
                )  # a running sweep merged segments since they were listed
                if not merged or attempt == READ_ATTEMPTS - 1:
                    raise InvalidInput(
                        f"{self.location!r} cannot be read ({error}); {CREDENTIALS}"
                    ) from error

    def _open(self) -> None:
        names = self._store.names()
        if "sweep.toml" in names:
            self._store.fetch("sweep.toml", self.folder / "sweep.toml")
        for name in reversed(RECORDS):  # events first: they must not refer to results that are missing yet
            self._segments[name].clear()
            self._fetch_segments(name, [n for n in names if n.startswith(f"{name}/")])

    def _fetch_segments(self, name: str, names: list[str]) -> None:
        spans = sorted((_span(n) for n in names), key=lambda span: (span[0], -span[1]))
        end = 0
        with (self.folder / name).open("wb") as file:
            for first, last in spans:
                if last <= end:  # merged into a longer one
                    continue
                if first > end:
                    raise InvalidInput(f"{self.location}: {name} lacks the bytes from {end} to {first}")
                file.write(self._store.read(f"{name}/{_segment(first, last)}")[end - first :])
                self._segments[name].append((end, last, 0))
                end = last

    def fetch(self, folder: str) -> None:
        for name in self._store.names(folder):
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            self._store.fetch(name, target)

    def clear(self, folder: str) -> None:
        with contextlib.suppress(OSError):
            self._lease.check_not_lost()
            self._store.delete(folder)

    def publish_records(self) -> None:
        self._lease.check()
        with self._publishing:
            for name in RECORDS:
                self._publish_tail(name)

    def _publish_tail(self, name: str) -> None:
        path, segments = self.folder / name, self._segments[name]
        end = path.stat().st_size if path.exists() else 0
        first = segments[-1][1] if segments else 0
        if end > first:
            self._put_segment(name, (first, end, 0))
        while len(segments) >= FAN_IN and len({level for *_, level in segments[-FAN_IN:]}) == 1:
            merged = segments[-FAN_IN:]
            del segments[-FAN_IN:]
            self._put_segment(name, (merged[0][0], merged[-1][1], merged[0][2] + 1))
            for first, last, _ in merged:
                self.clear(f"{name}/{_segment(first, last)}")

    def _put_segment(self, name: str, segment: tuple[int, int, int]) -> None:
        first, last, _ = segment
        with (self.folder / name).open("rb") as file:
            file.seek(first)
            content = file.read(last - first)
        patiently(lambda: self._store.write(f"{name}/{_segment(first, last)}", content))
        self._segments[name].append(segment)

    def publish(self) -> None:
        self.publish_records()
        self._publish_files(PUBLISHED)

    def publish_outputs(self) -> None:
        self._lease.check_not_lost()
        self._publish_files(OUTPUTS)

    def _publish_files(self, names: tuple[str, ...]) -> None:
        for path in sorted(self.folder.rglob("*")):
            name = str(path.relative_to(self.folder))
            if not path.is_file() or not name.startswith(names):
                continue
            if name.startswith("trials/") and ".tfevents." not in path.name:
                continue
            state = path.stat()
            if self._published.get(path) != (state.st_mtime, state.st_size):
                content = path.read_bytes()
                patiently(lambda name=name, content=content: self._store.write(name, content))
                self._published[path] = (state.st_mtime, state.st_size)

    def locked(self) -> contextlib.AbstractContextManager[None]:
        return self._lease.held()


def _segment(first: int, last: int) -> str:
    return f"{first:015d}-{last:015d}.jsonl"


def _span(name: str) -> tuple[int, int]:
    found = re.fullmatch(r".*/(\d+)-(\d+)\.jsonl", name)
    assert found is not None, name
    return int(found[1]), int(found[2])
