"""Writes a file of this machine in one piece, wherever its name may lead."""

import uuid
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whose name is always absent, old or complete; text is written as UTF-8.

    An older file is replaced. So is a link, which is never followed: in a stranger's folder it may lead anywhere.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
