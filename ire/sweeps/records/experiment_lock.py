"""The lock of an experiment: one process may write at a time, and others get its name in the error message."""

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Any

from ire.invalid_input import InvalidInput
from ire.plain_values import is_table
from ire.storage.file_lock import try_lock
from ire.storage.storage import Storage, patiently
from ire.storage.whole_file import write_whole

LEASE_SECONDS = 60.0
"""Seconds without renewal after which a lock in an object store has no owner."""

SETTLE_SECONDS = 1.0
"""Seconds after which a new lease is read again: of two simultaneous leases, the last one wins."""

LOCK = "lock.json"
OWNER = ".owner.json"
"""A file beside a folder's lock file, since other processes cannot read that one on Windows."""


class LockLost(PermissionError):
    """Another process has taken over the experiment, so this one must not write any more."""


@contextlib.contextmanager
def folder_locked(folder: Path) -> Generator[None, None, None]:
    """Hold the lock of a folder until its owner's process ends; raises `InvalidInput` if another process has it."""
    try:
        lock = try_lock(folder / ".lock")
    except OSError as error:  # another user's folder, an archive, a read-only file system
        raise InvalidInput(
            f"{str(folder)!r} cannot be written to ({error.strerror}): copy it, and resume the copy"
        ) from error
    if lock is None:
        raise _in_use(str(folder), folder_owner(folder))
    with lock:
        write_whole(folder / OWNER, json.dumps(_myself()))
        yield


class Lease:
    """The lock of an experiment in an object store: a file that its owner renews, since a store has no locks.

    While an owner is suspended or disconnected for longer than the lease, another process may become the owner. So the
    owner reads the lock before each renewal, and writes nothing more once it is lost.

    Clocks of two machines are never compared. The store's clock measures the age of a renewal; a monotonic clock that
    continues while the machine sleeps measures whether the own lease may have expired.
    """

    def __init__(self, store: Storage, location: str) -> None:
        self._store, self._location = store, location
        self._mine: dict[str, Any] = {}
        self._is_held = False
        self._renewed = 0.0
        self._lost: str | None = None
        self._renewing = threading.Lock()

    @contextlib.contextmanager
    def held(self) -> Generator[None, None, None]:
        """Take the lease and renew it in a thread; raises `InvalidInput` if another process has it."""
        try:
            self._take()
        except OSError as error:
            raise InvalidInput(f"{self._location!r} cannot be locked ({error})") from error
        over = threading.Event()

        def keep() -> None:
            while not over.wait(LEASE_SECONDS / 4) and self._lost is None:
                with contextlib.suppress(
                    OSError
                ):  # the store is briefly unreachable: retry at the next renewal
                    self._renew()

        keeper = threading.Thread(target=keep, name="lease", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            over.set()
            keeper.join(LEASE_SECONDS / 4)
            with contextlib.suppress(OSError):
                if self._is_mine(self._read()):
                    self._store.delete(LOCK)
            self._is_held = False

    def check(self) -> None:
        """Raise `LockLost` if the lease is another process's; reads the store only if the lease may have expired."""
        assert self._is_held, "only the owner of the lock may write"
        if self._lost is None and since_boot() - self._renewed > LEASE_SECONDS / 2:
            patiently(self._renew)
        self.check_not_lost()

    def check_not_lost(self) -> None:
        """Raise `LockLost` if the lease was held and is known to be lost."""
        if self._lost is not None:
            raise LockLost(self._lost)

    def _take(self) -> None:
        owner = self._read()
        if owner and not is_gone(owner) and self._age() <= LEASE_SECONDS:
            raise _in_use(self._location, owner)
        self._mine, self._lost = _myself() | {"lease": uuid.uuid4().hex}, None
        created = None if owner else self._store.create(LOCK, self._content())
        if created is False:
            raise _in_use(self._location, self._read() or {})
        if created:
            self._renewed = since_boot()
        else:  # a store without conditions, or an abandoned lease: the last of simultaneous writers owns it
            self._write()
            time.sleep(SETTLE_SECONDS)
            owner = self._read()
            if not self._is_mine(owner):
                raise _in_use(self._location, owner or {})
        self._is_held = True

    def _renew(self) -> None:
        with self._renewing:
            owner = self._read()
            if self._is_mine(owner):
                self._write()
            else:
                thief = _name(owner or {})
                self._lost = f"{thief} has taken it over; this run writes nothing more"

    def _age(self) -> float:
        """Seconds since the last renewal of the lease, by the clock of the store."""
        probe = f"clock-{uuid.uuid4().hex}"
        self._store.write(probe, b"")
        try:
            return self._store.modified(probe) - self._store.modified(LOCK)
        except FileNotFoundError:  # released in the meantime
            return float("inf")
        finally:
            with contextlib.suppress(OSError):
                self._store.delete(probe)

    def _is_mine(self, owner: dict[str, Any] | None) -> bool:
        return owner is not None and owner.get("lease") == self._mine["lease"]

    def _read(self) -> dict[str, Any] | None:
        try:
            return json.loads(self._store.read(LOCK))
        except FileNotFoundError:
            return None
        except ValueError as error:  # incomplete, in a store whose writes are not atomic
            raise OSError(f"{LOCK} cannot be read ({error})") from error

    def _write(self) -> None:
        now = since_boot()
        self._store.write(LOCK, self._content())
        self._renewed = now

    def _content(self) -> bytes:
        return json.dumps(self._mine | {"renewed": time.time()}).encode()  # the time is for older versions


def _in_use(location: str, owner: dict[str, Any]) -> InvalidInput:
    return InvalidInput(
        f"{location!r} is in use by {_name(owner)}; only `ire status`, `report` and `export` can read it meanwhile"
    )


def _name(owner: dict[str, Any]) -> str:
    return f"process {owner['pid']} on {owner['host']}" if "pid" in owner else "another process"


def _myself() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid()}


def folder_owner(folder: Path) -> dict[str, Any]:
    """The current or last owner of a folder's lock; empty if unknown."""
    try:
        found = json.loads((folder / OWNER).read_text())
    except (OSError, ValueError):
        return {}
    return found if is_table(found) else {}


def is_gone(owner: dict[str, Any]) -> bool:
    """Whether the owner of a lease was a process of this machine that has ended."""
    if owner.get("host") != socket.gethostname() or owner.get("pid") == os.getpid():
        return False
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def since_boot() -> float:
    """Seconds on a monotonic clock that continues while the machine sleeps, if the system has such a clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
