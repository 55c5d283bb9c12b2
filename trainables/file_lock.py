"""A lock that dies with the process that holds it: of a folder, by a file in it."""

import fcntl
from typing import IO


def try_lock(file: IO[str]) -> bool:
    """Take the lock of an open file, which holds until that is closed; False if another process has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
