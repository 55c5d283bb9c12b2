"""A private Ray cluster on this machine: it is started in up to two attempts, and its death is detected.

Ray's own session folder in /tmp is writable for all users, and its token is in the user's home. So a cluster started
here has a folder that only this user can enter, and its own token; both are removed when it ends.

Ray is imported when used.
"""

# Ray's functions are typed in part.
# pyright: reportUnknownMemberType=false

import contextlib
import logging
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, cast

from ire.foreign_text import in_one_line
from ire.invalid_input import InvalidInput
from ire.storage.file_lock import try_lock

PREFIX = "ire-ray-"
LONGEST = 20
"""Maximum length of the parent folder of a session, in characters: socket paths below it must not exceed 103."""

ABANDONED_SECONDS = 3600.0
"""Age at which a session without an owner is removed; a younger one may not have its lock yet."""

LOOK_SECONDS, STUCK_SECONDS = 2.0, 30.0
"""Interval between checks of its processes, and time in which the driver may notice their death itself."""

TOKEN, MODE = "RAY_AUTH_TOKEN", "RAY_AUTH_MODE"
HIDES = "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"
"""Whether Ray hides all GPUs from a process that got none; up to some release it did so by default."""
ESSENTIAL = ("gcs_server", "raylet")
"""Ray's processes without which nothing runs."""


class ClusterLost(Exception):
    """The cluster that was started here is dead, and no other node can join it."""


@contextlib.contextmanager
def local_cluster(*, cpus: int, gpus: int) -> Generator[None, None, None]:
    """A cluster with `cpus` CPUs and `gpus` GPUs of this machine; raises `InvalidInput` if Ray cannot start."""
    import ray

    from trainables.gang.ray_internals import loopback_only

    for is_last in (False, True):
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(_private_folder())
            stack.enter_context(_with_environment({TOKEN: secrets.token_hex(32), HIDES: "1"}))
            stack.callback(cast(Callable[[], None], ray.shutdown))
            try:
                with loopback_only():
                    ray.init(
                        address="local",  # never one that another user started on this machine
                        num_cpus=cpus,
                        num_gpus=gpus,  # Ray counts what the driver lists, torch may see other ones
                        include_dashboard=False,
                        log_to_driver=False,
                        logging_level=logging.ERROR,
                        _temp_dir=str(folder),
                    )
            except Exception as error:  # Ray raises RuntimeError, AssertionError, or Exception itself
                if not is_last:  # a busy machine may be too slow in the first attempt
                    continue
                raise InvalidInput(
                    f"Ray cannot start on this machine (two attempts): {_cause(error)}; free memory and processes, "
                    "or join a cluster with --address"
                ) from error
            yield
            return


def why_lost() -> str | None:
    """Why the cluster that was started here is dead; None while it is alive."""
    import ray

    if _dead():
        return _why_dead()
    if not any(node["Alive"] for node in cast(list[dict[str, Any]], ray.nodes())):
        return "its only node no longer answers"
    return None


def _why_dead() -> str:
    """Which of its processes died; contacts no process of the cluster."""
    return f"its {' and '.join(_dead())} died, for example for lack of memory, by a kill or by `ray stop`"


@contextlib.contextmanager
def leave_if_stuck(farewell: Callable[[str], None]) -> Generator[Callable[[], None], None, None]:
    """End the process, after calling `farewell` with the reason, if the driver waits for a dead cluster.

    A call to a dead GCS never returns, and after a minute Ray ends the process without a message; a stopped raylet
    ignores requests to end. Yields a function that raises `ClusterLost` if the cluster is lost.
    """
    from trainables.gang.ray_internals import kill_processes

    over = threading.Event()
    lost: list[str] = []

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
    """The essential processes of the cluster that have died; empty if no cluster was started here."""
    from trainables.gang.ray_internals import dead_processes

    return [kind for kind in dead_processes() if kind in ESSENTIAL]


def _cause(error: Exception) -> str:
    """The first non-empty line of Ray's error, or its type."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return in_one_line(lines[0] if lines else type(error).__name__)


@contextlib.contextmanager
def _private_folder() -> Generator[Path, None, None]:
    """A temporary folder that only this user can enter, with a short path."""
    parent = _parent()
    _remove_abandoned(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))  # 0700
    try:
        with try_lock(folder / "lock") or contextlib.nullcontext():
            yield folder / "r"  # Ray makes the folder that it gets accessible to all users
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _parent() -> Path:
    """A writable folder for temporary files with a short path; raises `InvalidInput` if there is none."""
    asked = (os.environ.get("RAY_TMPDIR"), tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm")
    places = [os.path.realpath(place) for place in asked if place]
    for place in places:
        if len(place) <= LONGEST and os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK):
            return Path(place)
    raise InvalidInput(
        f"Ray needs a writable folder for its sockets whose path has at most {LONGEST} characters, but "
        f"{', '.join(dict.fromkeys(places))} are not suitable: set RAY_TMPDIR"
    )


def _remove_abandoned(parent: Path) -> None:
    """Remove the session folders of this user whose driver was killed."""
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
def _with_environment(variables: dict[str, str]) -> Generator[None, None, None]:
    """Set variables for a cluster that is started inside, its token among them, which is written to no file."""
    from trainables.gang.ray_internals import forget_token

    before = {name: os.environ.get(name) for name in (*variables, MODE)}
    os.environ |= variables
    forget_token()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        forget_token()
