"""Text as a stream of pieces: from files here (text, WikiText's tokens, parquet), or from Hugging Face."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ire.invalid_input import InvalidInput

SPLITS = ("train", "validation", "test")
SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("valid", "validation", "val", "dev"),
    "test": ("test",),
}
SUFFIXES = (".tokens", ".txt", ".raw", ".parquet")
PIECE = 1 << 16
"""Characters of a text file that are encoded at a time, up to the end of a line."""


class Piece(NamedTuple):
    """Some text, and whether a document ends with it."""

    text: str
    ends: bool


@dataclass(frozen=True)
class LocalText:
    """The files of a folder, or one file. Which split a file belongs to, its path says.

    A path that says nothing is of `train` if none says that; else it is a licence, or a read-me, and left out.
    """

    root: Path
    column: str = "text"
    rows_are_lines: bool = False
    """Rows of a parquet file are lines of a text, not documents."""

    def files(self, suffixes: tuple[str, ...] = SUFFIXES) -> dict[str, list[Path]]:
        """The files of each split that has any, in order."""
        every = [self.root] if self.root.is_file() else sorted(self.root.rglob("*"))
        found: dict[str | None, list[Path]] = {}
        for path in every:
            if path.is_file() and path.suffix.lower() in suffixes:
                found.setdefault(self._split_of(path), []).append(path)
        unsaid = found.pop(None, [])
        return {"train": unsaid} | found if unsaid else found

    def _split_of(self, path: Path) -> str | None:
        name = path.name if path == self.root else str(path.relative_to(self.root))
        words = re.split(r"[^a-z]+", name.lower())
        for split in ("test", "validation", "train"):
            if any(word in words for word in SPLIT_WORDS[split]):
                return split
        return None

    def splits(self) -> list[str]:
        return [split for split in SPLITS if split in self.files()]

    def pieces(self, split: str, *, skip: int = 0) -> Iterator[Piece]:
        """The pieces of a split, the first `skip` of them left out."""
        return islice(self._pieces(split), skip, None)

    def _pieces(self, split: str) -> Iterator[Piece]:
        for path in self.files()[split]:
            yield from self._rows(path) if path.suffix.lower() == ".parquet" else self._lines(path)

    def _lines(self, path: Path) -> Iterator[Piece]:
        try:
            with path.open(encoding="utf-8") as file:
                text = "".join(file.readlines(PIECE))
                while text:
                    following = "".join(file.readlines(PIECE))
                    yield Piece(text, ends=not following)
                    text = following
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{path}: not UTF-8 text ({error})") from error

    def _rows(self, path: Path) -> Iterator[Piece]:
        import pyarrow.parquet as parquet

        file = parquet.ParquetFile(path)
        if self.column not in file.schema_arrow.names:
            raise InvalidInput(f"{path}: no column {self.column!r}, has {', '.join(file.schema_arrow.names)}")
        for rows in file.iter_batches(1024, columns=[self.column]):
            texts = [text or "" for text in rows.column(0).to_pylist()]
            if self.rows_are_lines:
                yield Piece(
                    "".join(text if text.endswith("\n") else text + "\n" for text in texts), ends=False
                )
            else:
                yield from (Piece(text, ends=True) for text in texts)


@dataclass(frozen=True)
class HubText:
    """A data set of Hugging Face, streamed: nothing but the tokens is kept."""

    repository: str
    configuration: str | None = None
    column: str = "text"
    rows_are_lines: bool = False

    def splits(self) -> list[str]:
        try:
            from datasets import get_dataset_split_names

            names = get_dataset_split_names(self.repository, self.configuration)
        except Exception as error:  # of many libraries, and none says more than its text
            raise InvalidInput(
                f"cannot reach {self.repository} on Hugging Face ({type(error).__name__}: {_first_line(error)}); "
                "offline, give --from FOLDER"
            ) from error
        return [split for split in SPLITS if split in names]

    def pieces(self, split: str, *, skip: int = 0) -> Iterator[Piece]:
        from datasets import load_dataset

        rows = load_dataset(self.repository, self.configuration, split=split, streaming=True)
        end = "\n" if self.rows_are_lines else ""
        for row in rows.skip(skip):
            text = row[self.column]
            yield Piece(text if text.endswith(end) else text + end, ends=not self.rows_are_lines)


TextSource = LocalText | HubText


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
