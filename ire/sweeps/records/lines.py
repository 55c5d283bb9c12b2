"""Lines of JSON in an append-only file: each is written in one piece, and an incomplete last line is ignored."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ire.invalid_input import InvalidInput
from ire.plain_values import is_list, is_table

SURROGATE = (b"\\ud", b"\\uD")
"""Start of a JSON escape that may be half a character, which UTF-8 files and data frames do not accept."""


def append_line(path: Path, line: dict[str, Any]) -> None:
    """Append one JSON line in a single write, after removing a torn last line."""
    data = json.dumps(line, allow_nan=False).encode() + b"\n"
    with path.open("ab+") as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            if file.read(1) != b"\n":
                _cut_torn_line(file, end)
        file.write(data)


def _cut_torn_line(file: Any, end: int) -> None:
    file.seek(0)
    file.truncate(file.read(end).rfind(b"\n") + 1)


def numbered_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The complete lines of a file with their numbers, from 1; none if it does not exist.

    A line that equals the one before it byte for byte is skipped: a storage may have completed an append although it
    reported an error, so that the append was repeated. Raises `InvalidInput` for a damaged line, and for anything else
    that has the file's name: a folder, a broken link, a pipe, from which reading would wait for ever.
    """
    if not os.path.lexists(path):
        return
    if not path.is_file():
        raise InvalidInput(f"{path}: it is not a file, or a link to none; restore the file from a copy")
    before = b""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            if line == before:
                continue
            yield number, _parsed(line, path, number)
            before = line


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The complete lines of a file, as in `numbered_lines` without the numbers."""
    return (line for _, line in numbered_lines(path))


def _parsed(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line, parse_constant=_refused)
        if any(half in line for half in SURROGATE):
            found = _whole(found)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            f"{path}, line {number}: it was damaged after it was written ({error}); restore the file from a copy"
        ) from error
    if not is_table(found):
        raise InvalidInput(
            f"{path}, line {number}: it is not an event of a sweep but {type(found).__name__}; restore the file "
            "from a copy"
        )
    return found


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not a number that a sweep records")


def _whole(value: Any) -> Any:
    """The value with every half character replaced by its escape."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if is_list(value):
        return [_whole(entry) for entry in value]
    if is_table(value):
        return {_whole(key): _whole(entry) for key, entry in value.items()}
    return value
