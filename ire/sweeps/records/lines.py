"""Lines of JSON in a file that is only ever appended to: written whole, read until the last whole one."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ire.invalid_input import InvalidInput

SURROGATE = (b"\\ud", b"\\uD")
"""With these JSON may hold half a character, which no file of UTF-8 and no data frame takes."""


def append_line(path: Path, line: dict[str, Any]) -> None:
    """Append one JSON line in a single write, after cutting off a torn one."""
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

    A line that repeats the one before it, byte for byte, is left out: a storage that answered an append with an error
    may have made it nevertheless, and then it was made again. Raises `InvalidInput` for a damaged line.
    """
    if not path.exists():
        return
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
    """The same without the numbers."""
    return (line for _, line in numbered_lines(path))


def _parsed(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line, parse_constant=_refused)
        if any(half in line for half in SURROGATE):
            found = _whole(found)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            f"{path}, line {number}: it was damaged after it was written ({error}); put the file back from a copy"
        ) from error
    if not isinstance(found, dict):
        raise InvalidInput(
            f"{path}, line {number}: it is not an event of a sweep but {type(found).__name__}; put the file back "
            "from a copy"
        )
    return found


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no number that a sweep records")


def _whole(value: Any) -> Any:
    """The value with every half of a character as its escape."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list):
        return [_whole(entry) for entry in value]
    if isinstance(value, dict):
        return {_whole(key): _whole(entry) for key, entry in value.items()}
    return value
