"""The exception for users' mistakes, which the command line prints as one line, unlike a defect."""

import contextlib
import difflib
import errno
import os
from collections.abc import Generator, Iterable
from pathlib import Path

GUARD = 'put what only the script itself runs below `if __name__ == "__main__":`'
"""The remedy for a script that does more than define things when it is imported."""

OF_NO_OTHER = "no other process has its __main__; put it into a file, as in my.py, and name it my:{}"
"""The remedy for a class of a notebook, or of the script that runs, which the records of a sweep could not name."""


class InvalidInput(ValueError):
    """A user's mistake: one line that names the value, the allowed ones, the place and the remedy."""


@contextlib.contextmanager
def writable(folder: Path) -> Generator[None, None, None]:
    """Raise `InvalidInput` if `folder`, which `--output` names, cannot be written to; a full disk is an `OSError`."""
    try:
        yield
    except OSError as error:
        refusals = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR)
        cannot_be_made = error.errno == errno.ENOENT and not folder.exists()  # in /proc, say
        if error.errno not in refusals and not cannot_be_made:
            if error.errno is None or error.filename is not None:
                raise
            raise OSError(error.errno, error.strerror, str(folder)) from error  # a failed write names no file
        raise InvalidInput(
            f"{str(folder)!r} cannot be written to ({error.strerror}): name another folder with --output"
        ) from error


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with a leading `~` replaced by a home folder; raises `InvalidInput` if there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InvalidInput(
            f"{str(path)!r}: this machine knows no home folder for it; set HOME, or write the path without ~"
        ) from error


def exited(what: str, end: SystemExit, *, remedy: str) -> InvalidInput:
    """The error for `what`, a user's code, that called `sys.exit`: it must end neither a worker nor a whole sweep."""
    code = "" if end.code is None else repr(end.code)
    return InvalidInput(f"{what} called sys.exit({code}); {remedy}")


def unknown(kind: str, value: object, allowed: Iterable[str], *, where: str = "") -> InvalidInput:
    """The error for a `value` that is not among the `allowed` names; lists the nearest first."""
    allowed = list(allowed)
    near = difflib.get_close_matches(str(value), allowed, n=3, cutoff=0.5)
    ordered = near + [name for name in allowed if name not in near]
    hint = f"did you mean {near[0]!r}? " if near else ""
    place = f" in {where}" if where else ""
    listed = f"allowed: {', '.join(ordered)}" if ordered else "there is none"
    return InvalidInput(f"unknown {kind} {str(value)!r}{place}: {hint}{listed}")
