"""A lock that dies with the process that holds it: of a folder, by a file in it."""

import errno
import fcntl
from typing import IO

WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)


def try_lock(file: IO[str]) -> bool:
    """Take the lock of an open file, which holds until that is closed; False if another process has it.

    On a file system that has no locks there is nobody to refuse.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
    return True
