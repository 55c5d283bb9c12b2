"""A Ray cluster of this machine alone: nobody else may look into it, it is tried twice, and its death is noticed.

Ray's own session folder in /tmp is writable for everybody, and its token stands in the user's home. So a cluster that
is started here has a folder that only this user can enter and a token of its own; both are gone when it ends.
"""

import contextlib
import logging
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ire.foreign_text import in_one_line
from ire.invalid_input import InvalidInput
from ire.storage.file_lock import try_lock

PREFIX = "ire-ray-"
LONGEST = 20
"""Characters of the folder in which a session is made: the path of a socket below it must not exceed 103."""

ABANDONED_SECONDS = 3600.0
"""A session without an owner is removed when it is so old: a younger one may be about to get its lock."""

LOOK_SECONDS, STUCK_SECONDS = 2.0, 30.0
"""How often its processes are looked at, and how long a driver may take to notice that they have died."""

TOKEN, MODE = "RAY_AUTH_TOKEN", "RAY_AUTH_MODE"
ESSENTIAL = ("gcs_server", "raylet")
"""Ray's processes without which nothing runs any more."""


class ClusterLost(Exception):
    """The cluster that was started here is dead, and no other node can come."""


@contextlib.contextmanager
def local_cluster(*, cpus: int) -> Iterator[None]:
    """A cluster with so many CPUs and this machine's GPUs; raises `InvalidInput` if Ray cannot start."""
    import ray

    from trainables.gang.ray_internals import loopback_only

    for is_last in (False, True):
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(_private_folder())
            stack.enter_context(_own_token())
            stack.callback(ray.shutdown)
            try:
                with loopback_only():
                    ray.init(
                        address="local",  # never one that somebody else has started on this machine
                        num_cpus=cpus,
                        include_dashboard=False,
                        log_to_driver=False,
                        logging_level=logging.ERROR,
                        _temp_dir=str(folder),
                    )
            except Exception as error:  # Ray raises whatever: RuntimeError, AssertionError, Exception itself
                if not is_last:  # a machine that is busy may be too slow once
                    continue
                raise InvalidInput(
                    f"Ray cannot start on this machine, tried twice: {_cause(error)}; free memory and processes, or "
                    "join a cluster with --address"
                ) from error
            yield
            return


def why_lost() -> str | None:
    """Why the cluster that was started here is dead; None while it lives."""
    import ray

    if _dead():
        return _why_dead()
    if not any(known["Alive"] for known in ray.nodes()):
        return "its only node does not answer any more"
    return None


def _why_dead() -> str:
    """What has died of it; asks no process of the cluster."""
    return f"death of its {' and '.join(_dead())}, as by a lack of memory, a kill or `ray stop`"


@contextlib.contextmanager
def leave_if_stuck(farewell: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    """End the process, after `farewell` with the reason, if the driver waits for a cluster that has died.

    A call to a dead GCS returns to nobody, and after a minute Ray ends the process without a word; a raylet that was
    stopped does not end when it is told to. Yields what raises `ClusterLost` if the cluster is lost.
    """
    from trainables.gang.ray_internals import kill_processes

    over, lost = threading.Event(), []

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            if lost or _dead():
                if not over.wait(STUCK_SECONDS):
                    farewell(lost[0] if lost else _why_dead())
                    kill_processes()
                    os._exit(1)
                return

    def check() -> None:
        if (reason := why_lost()) is not None:
            lost.append(reason)
            raise ClusterLost(reason)

    threading.Thread(target=watch, name="cluster-watch", daemon=True).start()
    try:
        yield check
    finally:
        over.set()


def _dead() -> list[str]:
    """Which of the processes that the cluster needs have died; none if no cluster was started here."""
    from trainables.gang.ray_internals import dead_processes

    return [kind for kind in dead_processes() if kind in ESSENTIAL]


def _cause(error: Exception) -> str:
    """The line of Ray's error that says most: the last one that is not a mere place in a file."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return in_one_line(lines[0] if lines else type(error).__name__)


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    """A folder that only this user can enter, with a path that is short enough, gone afterwards."""
    parent = _parent()
    _remove_abandoned(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))  # 0700
    try:
        with try_lock(folder / "lock") or contextlib.nullcontext():
            yield folder / "r"  # Ray opens the folder that it is given to everybody
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _parent() -> Path:
    """Where temporary files go, if that is writable and its path is short; raises `InvalidInput` if no place is."""
    asked = (os.environ.get("RAY_TMPDIR"), tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm")
    places = [os.path.realpath(place) for place in asked if place]
    for place in places:
        if len(place) <= LONGEST and os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK):
            return Path(place)
    raise InvalidInput(
        f"Ray needs a folder for its sockets that can be written to and whose path has at most {LONGEST} characters, "
        f"and none of {', '.join(dict.fromkeys(places))} is one: set RAY_TMPDIR"
    )


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders of clusters of this user whose driver was killed."""
    for folder in parent.glob(f"{PREFIX}????????"):
        with contextlib.suppress(OSError):
            state = folder.lstat()
            is_mine = state.st_uid == os.getuid() and folder.is_dir() and not folder.is_symlink()
            if not is_mine or time.time() - state.st_mtime < ABANDONED_SECONDS:
                continue
            with contextlib.ExitStack() as stack:
                lock = try_lock(folder / "lock")
                if lock is not None:
                    stack.enter_context(lock)
                    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _own_token() -> Iterator[None]:
    """Let a cluster that is started inside ask for a token that nobody else knows, and that stands in no file."""
    from trainables.gang.ray_internals import forget_token

    before = {name: os.environ.get(name) for name in (TOKEN, MODE)}
    os.environ[TOKEN] = secrets.token_hex(32)
    forget_token()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        forget_token()
