"""A lock on a folder, held by a file in it, that ends with its process on Linux, macOS and Windows."""

import errno
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)


def try_lock(path: Path) -> AbstractContextManager[Any] | None:
    """Lock the file `path`; returns a context that releases the lock at its exit, or None if another process has it.

    File systems without lock support are treated as unlocked. The file stays when the lock is released, so that all
    waiting processes share one inode.
    """
    lock = FileLock(path, thread_local=False)
    try:
        return lock.acquire(blocking=False)
    except Timeout:
        return None
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
    return nullcontext()
