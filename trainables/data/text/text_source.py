"""Text as a stream of pieces: from files here, from a saved Hugging Face data set, or from its hub."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from ire.invalid_input import InvalidInput
from trainables.data.originals import Say, files_below, fingerprint, reason
from trainables.data.text.readers import PIECE, ROWS, FileReader, Piece, as_text, form_of, is_text
from trainables.data.text.split_names import SPLITS, Assigned, assign, parts_there, split_named
from trainables.data.untyped import datasets

SMALLEST = 1 << 8
"""The minimum size of a piece in bytes, where part of a small text is held out."""
SHOWN = 4
"""The number of file names that are printed."""
RECORDED = 1000


@dataclass(frozen=True)
class LocalText:
    """The files of a folder, or one file; `trainables.data.text.split_names` says which split a file belongs to."""

    root: Path
    column: str = "text"
    rows_are_lines: bool = False
    """Rows of a table are lines of a text, not documents."""
    glob: str | None = None
    """Which files are read, as in `**/*.py`; by default, those with the name of a text."""

    def __str__(self) -> str:
        return str(self.root)

    def fingerprint(self) -> str:
        return fingerprint(self.root)

    @cached_property
    def assigned(self) -> Assigned:
        """The files of each split."""
        every = files_below(self.root)
        if self.glob is not None:
            try:
                chosen = {path for path in self.root.glob(self.glob) if path.is_file()}
            except (ValueError, NotImplementedError) as error:
                raise InvalidInput(
                    f"--glob {self.glob!r}: {error}; must be a pattern below the folder, as in '**/*.py'"
                ) from error
            every = [path for path in every if path in chosen]
            return assign(every, self.root, glob=True)
        return assign([path for path in every if path == self.root or is_text(path)], self.root)

    def files(self) -> dict[str, list[Path]]:
        """The files of each split that has any, in order."""
        return self.assigned.splits

    def splits(self) -> list[str]:
        return [split for split in SPLITS if split in self.files()]

    def limit(self, share: float) -> tuple[int, int]:
        """The size of a piece, and the largest document that is held out whole, in bytes, if a `share` is held out."""
        total = sum(path.stat().st_size for path in self.files()["train"])
        piece = int(min(PIECE, max(SMALLEST, share * total / 8)))
        return piece, max(piece, int(share * total / 4))

    def pieces(self, split: str, *, skip: int = 0, size: int = PIECE) -> Iterator[Piece]:
        """The pieces of a split without the first `skip`; a file is cut into pieces of about `size` characters."""
        return islice(self._pieces(split, size), skip, None)

    def _pieces(self, split: str, size: int) -> Iterator[Piece]:
        for path in self.files()[split]:
            reader = FileReader(path, column=self.column, rows_are_lines=self.rows_are_lines, size=size)
            for piece in reader.pieces():
                if size < PIECE and form_of(path) in ROWS:  # a small text: part of a row may be held out
                    yield from _cut(piece, size)
                else:
                    yield piece

    def tell(self, say: Say) -> None:
        """Report which file became which split, and which files are left out."""
        for split, paths in self.files().items():
            size = sum(path.stat().st_size for path in paths)
            count = f"{_count(len(paths), 'file')}{parts_there(paths)}"
            say(f"{split}: {count}, {size:,} bytes: {self._names(paths)}")
        if self.assigned.left_out:
            say(f"left out: {self._names(self.assigned.left_out)}")
        rest = [p for p in files_below(self.root) if p not in {*self.assigned.left_out, *self._used()}]
        if rest:
            say(f"{_count(len(rest), 'file')} of other kinds not read: {self._names(rest)}")

    def recorded(self) -> dict[str, Any]:
        """Which file became which split, for the index of the store."""
        return {
            split: [self._name(path) for path in paths[:RECORDED]]
            + ([f"and {len(paths) - RECORDED} more"] if len(paths) > RECORDED else [])
            for split, paths in self.files().items()
        }

    def _used(self) -> list[Path]:
        return [path for paths in self.files().values() for path in paths]

    def _name(self, path: Path) -> str:
        return path.name if path == self.root else path.relative_to(self.root).as_posix()

    def _names(self, paths: list[Path]) -> str:
        more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
        return ", ".join(map(self._name, paths[:SHOWN])) + more


@dataclass(frozen=True)
class SavedText:
    """A folder written by `save_to_disk` of `datasets`: one data set, or one for each split."""

    root: Path
    column: str = "text"
    rows_are_lines: bool = False

    def __str__(self) -> str:
        return str(self.root)

    def fingerprint(self) -> str:
        return fingerprint(self.root)

    @staticmethod
    def is_at(root: Path) -> bool:
        return (root / "dataset_dict.json").is_file() or (root / "state.json").is_file()

    @cached_property
    def _named(self) -> dict[str, Any]:
        """The rows of each split under the name that it has in the folder."""
        package = datasets()
        try:
            loaded = package.load_from_disk(str(self.root))
        except Exception as error:  # raised by several libraries
            raise InvalidInput(f"{self.root}: cannot be loaded ({reason(error)})") from error
        return dict(loaded) if isinstance(loaded, package.DatasetDict) else {"train": loaded}

    @cached_property
    def _splits(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, rows in self._named.items():
            if (split := split_named(str(name))) is None:
                continue
            if split in found:
                raise InvalidInput(
                    f"{self.root}: {name!r} is a second split of its {split} data; save the folder anew with one split "
                    "each for train, validation and test"
                )
            found[split] = rows
            if self.column not in rows.column_names:
                has = ", ".join(rows.column_names)
                raise InvalidInput(f"{self.root}: no column {self.column!r}, has {has}")
        return found

    def splits(self) -> list[str]:
        return [split for split in SPLITS if split in self._splits]

    def limit(self, share: float) -> tuple[int, int | None]:
        return PIECE, None

    def pieces(self, split: str, *, skip: int = 0, size: int = PIECE) -> Iterator[Piece]:
        rows = self._splits[split].select_columns([self.column])
        try:
            rows.data.validate(full=True)  # damaged offsets lead outside of the memory
        except ValueError as error:
            raise InvalidInput(f"{self.root}, {split}: damaged ({reason(error)}); fetch it again") from error
        for number in range(skip, len(rows)):
            text = as_text(rows[number][self.column], self.column, f"{self.root}, {split}, row {number}")
            yield _piece(text, self.rows_are_lines)

    def tell(self, say: Say) -> None:
        for split in self.splits():
            say(f"{split}: {len(self._splits[split])} rows")
        if left_out := [str(name) for name in self._named if split_named(str(name)) is None]:
            say(f"left out: {', '.join(left_out)}, which name no split")

    def recorded(self) -> dict[str, Any]:
        return {split: [f"{len(self._splits[split])} rows"] for split in self.splits()}


@dataclass(frozen=True)
class HubText:
    """A data set on Hugging Face, streamed: only the tokens are kept."""

    repository: str
    configuration: str | None = None
    column: str = "text"
    rows_are_lines: bool = False

    def __str__(self) -> str:
        return self.repository

    def fingerprint(self) -> str:
        return ""

    def splits(self) -> list[str]:
        package = datasets()
        try:
            names = package.get_dataset_split_names(self.repository, self.configuration)
        except Exception as error:  # raised by many libraries
            raise InvalidInput(
                f"cannot reach {self.repository} on Hugging Face ({type(error).__name__}: {reason(error)}); "
                "offline, give --from FOLDER"
            ) from error
        return [split for split in SPLITS if split in names]

    def limit(self, share: float) -> tuple[int, int | None]:
        return PIECE, None

    def pieces(self, split: str, *, skip: int = 0, size: int = PIECE) -> Iterator[Piece]:
        rows = datasets().load_dataset(self.repository, self.configuration, split=split, streaming=True)
        for row in rows.skip(skip):
            yield _piece(as_text(row[self.column], self.column, self.repository), self.rows_are_lines)

    def tell(self, say: Say) -> None:
        say(f"streaming {self.repository} from Hugging Face")

    def recorded(self) -> dict[str, Any]:
        return {split: [self.repository] for split in self.splits()}


TextSource = LocalText | SavedText | HubText


def _piece(text: str, is_line: bool) -> Piece:
    if is_line:
        return Piece(text if text.endswith("\n") else text + "\n", ends=False)
    return Piece(text, ends=True, document=len(text))


def _cut(piece: Piece, size: int) -> Iterator[Piece]:
    """A long document in pieces of about `size` characters, cut at line ends."""
    part: list[str] = []
    length = 0
    for line in piece.text.splitlines(keepends=True):
        if length >= size:
            yield Piece("".join(part), ends=False, document=piece.document)
            part, length = [], 0
        part.append(line)
        length += len(line)
    yield Piece("".join(part), ends=piece.ends, document=piece.document)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
