"""The message of a failed command: one line that says what to do, or that this is a bug and where its traceback is.

There are four kinds: a user's mistake (`InvalidInput`), an error of the system such as a full disk, an exception in the
user's own module, and everything else, which is a bug of ours.
"""

import bdb
import errno
import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from ire.entry_points import OURS, is_installed, package_folders
from ire.foreign_text import in_one_line, visible
from ire.invalid_input import InvalidInput
from ire.sweeps.watch.output import Output

MISTAKE, FAILED, INTERRUPTED = 2, 1, 130
"""Exit codes; the last one is a shell's for SIGINT."""

ANSWERS = (
    *(
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EIO,
        errno.ESTALE,
    ),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP),
    *(errno.EEXIST, errno.EADDRINUSE, errno.ENOTCONN, errno.EHOSTDOWN, errno.ETXTBSY),
)
"""Errors of the system that concern a file or another resource, not the program."""


def run(command: Callable[[], object]) -> int:
    """Run a command to its end; returns the exit code, and never raises."""
    try:
        command()
    except SystemExit as end:
        return _exit_code(end)
    except (KeyboardInterrupt, bdb.BdbQuit):  # the latter is `quit` in a debugger
        return INTERRUPTED
    except BaseException as error:
        say, code = explained(error)
        print(f"ire: {say}", file=Output(sys.stderr, waits=True))
        return code
    return 0


def explained(error: BaseException) -> tuple[str, int]:
    """The message for an exception, and the exit code."""
    if isinstance(error, InvalidInput):
        return visible(error) + _theirs(error), MISTAKE
    if isinstance(error, EndOfInput):
        error = error.__cause__ or error
    if isinstance(error, OSError) and error.errno in ANSWERS:
        place = f"{os.fsdecode(error.filename)!r}: " if isinstance(error.filename, str | bytes) else ""
        return f"{in_one_line(place + (error.strerror or str(error)))}", FAILED
    if isinstance(error, FileNotFoundError) and error.filename is None and not _is_somewhere():
        return "the current folder was deleted: change to another one", MISTAKE
    if isinstance(error, MemoryError):
        return "there is not enough memory", FAILED
    theirs = place_of_the_user(error)
    what = in_one_line(f"{type(error).__name__}: {error}")
    if theirs is not None:
        return f"{visible(theirs)}: {what}\n{_written(error, 'the full traceback is in')}", FAILED
    by = _raised_by(error)
    whose = (
        "this is a bug in ire"
        if by is None
        else f"{by} raised this; where it is not right, it is a bug in ire"
    )
    return f"{what}\n{whose}: {_written(error, 'please report it with this file:')}", FAILED


def _is_somewhere() -> bool:
    """Whether the current folder still exists."""
    try:
        return bool(os.getcwd())
    except FileNotFoundError:
        return False


def _theirs(error: InvalidInput) -> str:
    """The place in a user's module where the cause of a reported mistake arose, if there is one."""
    seen: list[BaseException] = [error]
    while (cause := seen[-1].__cause__) is not None and cause not in seen:  # a user's code may close a circle
        if place := place_of_the_user(cause):
            return f"\nin {visible(place)}"
        seen.append(cause)
    return ""


class EndOfInput(Exception):
    """Carries an `EOFError` past `click`, which would mistake it for Ctrl-D and print only "Aborted"."""


def place_of_the_user(error: BaseException) -> str | None:
    """The place in a module, neither ours nor installed, that raised `error`, as `FILE, line N`; None if none did."""
    if isinstance(error, SyntaxError) and error.filename and _is_the_users(error.filename):
        return f"{error.filename}, line {error.lineno}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if _is_the_users(frame.filename):
            return f"{frame.filename}, line {frame.lineno}, in {frame.name}"
    return None


def _raised_by(error: BaseException) -> str | None:
    """The installed package other than ours whose code raised `error`, if one did."""
    frames = traceback.extract_tb(error.__traceback__)
    file = Path(frames[-1].filename).resolve() if frames else Path()
    for folder in package_folders():
        if file.is_relative_to(folder) and (name := file.relative_to(folder).parts[0]) not in OURS:
            return name.removesuffix(".py")
    return None


def _is_the_users(file: str) -> bool:
    if file.startswith("<"):  # generated code, not a file
        return False
    if not (Path(file).is_absolute() or Path(file).is_file()):  # the build path of a compiled module
        return False
    return not is_installed(Path(file))


def _written(error: BaseException, words: str) -> str:
    """Write the traceback to a file that only this user can read; returns `words` followed by its path."""
    text = "\n".join(
        (
            f"command: {' '.join(sys.argv)}",
            f"python {platform.python_version()} on {platform.platform()}",
            f"ire {sys.modules['ire'].__version__}, {datetime.now().astimezone().isoformat(timespec='seconds')}",
            "",
            *traceback.format_exception(error),
        )
    )
    try:
        handle, path = tempfile.mkstemp(prefix="ire-bug-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(visible(text))
    except OSError:
        return f"(no file could be written)\n{visible(text)}"
    return f"{words} {path}"


def _exit_code(end: SystemExit) -> int:
    """The exit code of a command that exits; an exit in a user's module is a failure, whatever its code."""
    if place := place_of_the_user(end):
        print(f"ire: {visible(place)}: sys.exit({end.code!r})", file=Output(sys.stderr, waits=True))
        return FAILED
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    print(end.code, file=Output(sys.stderr, waits=True))
    return FAILED


def leave(code: int) -> None:
    """End the process with `code`, even if its output can no longer be written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # Python would report this and exit with 120
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            except (OSError, ValueError, AttributeError):
                continue
    sys.exit(code)
