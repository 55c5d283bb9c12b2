"""Reads a file as pieces of text: plain text, JSON lines, Parquet or Arrow, compressed or not.

Files are read one at a time, without the builders of `datasets`, which lose the end of a file, and so of a document,
and whose errors do not name the file.
"""

import io
import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from ire.invalid_input import InvalidInput
from ire.plain_values import is_list, is_table
from trainables.data.originals import check_no_pointer
from trainables.data.text.split_names import split_named
from trainables.data.untyped import parquet, pyarrow

PLAIN = (".tokens", ".txt", ".raw", ".text", ".md")
ROWS = (".jsonl", ".ndjson", ".json", ".parquet", ".arrow")
COMPRESSED = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".xz": "xz"}
PIECE = 1 << 16
"""Characters of a text file that are encoded at a time, up to the end of a line."""
EXPANDED = 4
"""The factor by which a compressed file grows, about."""
BYTE_ORDER_MARKS = {
    **{b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32"},
    **{b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"},
}
"""By the first bytes of a text; a mark that begins with another one stands before it."""


class Piece(NamedTuple):
    """Some text, and whether a document ends with it."""

    text: str
    ends: bool
    document: int | None = None
    """Size of its document, in bytes or characters; None without a document."""


class FileReader:
    """The pieces of a file; raises `InvalidInput`, with its name, for one that cannot be read."""

    def __init__(self, path: Path, *, column: str = "text", rows_are_lines: bool = False, size: int = PIECE):
        self.path, self.column, self.rows_are_lines, self.size = path, column, rows_are_lines, size

    def pieces(self) -> Iterator[Piece]:
        check_no_pointer(self.path)
        form = form_of(self.path)
        try:
            if form not in ROWS:
                yield from self._plain()
            elif self.rows_are_lines:
                yield from self._joined_lines(form)
            else:
                yield from (Piece(text, ends=True, document=len(text)) for text in self._texts(form))
        except UnicodeDecodeError as error:
            raise InvalidInput(
                f"{self.path}: not UTF-8 text ({error}); if it has another encoding, convert it first, as in "
                f"`iconv -f {_guess(error)} -t UTF-8`"
            ) from error
        except (OSError, EOFError, ValueError, lzma.LZMAError) as error:  # raised by gzip, pyarrow, json
            if isinstance(error, InvalidInput):
                raise
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InvalidInput(f"{self.path}: truncated or damaged ({reason}); fetch it again") from error

    def _plain(self) -> Iterator[Piece]:
        compressed = self.path.suffix.lower() in COMPRESSED
        document = self.path.stat().st_size * (EXPANDED if compressed else 1)
        with _opened_text(self.path) as file:
            text = "".join(file.readlines(self.size))
            while text:
                if "\0" in text:
                    raise InvalidInput(
                        f"{self.path}: holds zero bytes, so it is not text, or is UTF-16 without a byte-order mark; "
                        "convert it first, as in `iconv -f UTF-16LE -t UTF-8`"
                    )
                following = "".join(file.readlines(self.size))
                yield Piece(text, ends=not following, document=document)
                text = following

    def _joined_lines(self, form: str) -> Iterator[Piece]:
        lines: list[str] = []
        for text in self._texts(form):
            lines.append(text if text.endswith("\n") else text + "\n")
            if len(lines) == 1024:
                yield Piece("".join(lines), ends=False)
                lines = []
        if lines:
            yield Piece("".join(lines), ends=False)

    def _texts(self, form: str) -> Iterator[str]:
        if form in (".parquet", ".arrow"):
            yield from self._columns(form)
        elif form == ".json":
            yield from self._json()
        else:
            with _opened_text(self.path) as file:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield self._text_of(_parsed(line, f"{self.path}, line {number}"), f"line {number}")

    def _json(self) -> Iterator[str]:
        with _opened_text(self.path) as file:
            content = file.read()
        try:
            rows: Any = json.loads(content)
        except (json.JSONDecodeError, RecursionError):  # one value a line, under the shorter name
            # `splitlines` also splits at characters that JSON may contain.
            lines = enumerate(content.split("\n"), 1)
            rows = [_parsed(line, f"{self.path}, line {n}") for n, line in lines if line.strip()]
        for number, row in enumerate(rows if is_list(rows) else [rows], 1):
            yield self._text_of(row, f"entry {number}")

    def _text_of(self, row: Any, where: str) -> str:
        where = f"{self.path}, {where}"
        if is_table(row) and row.get(self.column) is not None:
            return as_text(row[self.column], self.column, where)
        if isinstance(row, str):
            return as_text(row, self.column, where)
        if is_table(row):
            is_null = self.column in row
            has = "which is null" if is_null else f"has {', '.join(map(str, row))}"
        else:
            has = f"is {type(row).__name__}"
        raise InvalidInput(f"{where}: no text under {self.column!r}, {has}")

    def _columns(self, form: str) -> Iterator[str]:
        arrow = pyarrow()
        is_packed = self.path.suffix.lower() in COMPRESSED
        content = arrow.BufferReader(_opened(self.path).read()) if is_packed else None
        if form == ".parquet":
            file = parquet().ParquetFile(content or self.path)
            self._check_column(file.schema_arrow)
            batches = file.iter_batches(1024, columns=[self.column])
        else:
            stream = content or arrow.memory_map(str(self.path))
            try:
                reader = arrow.ipc.open_stream(stream)
            except arrow.ArrowInvalid:
                stream.seek(0)
                opened = arrow.ipc.open_file(stream)
                self._check_column(opened.schema)
                reader = (opened.get_batch(n) for n in range(opened.num_record_batches))
            else:
                self._check_column(reader.schema)
            batches = (batch.select([self.column]) for batch in reader)
        number = 0
        for rows in batches:
            rows.validate(full=True)  # damaged offsets lead outside of the memory
            for value in rows.column(0).to_pylist():
                yield as_text(value, self.column, f"{self.path}, row {number}")
                number += 1

    def _check_column(self, schema: Any) -> None:
        if self.column not in schema.names:
            raise InvalidInput(f"{self.path}: no column {self.column!r}, has {', '.join(schema.names)}")


def as_text(value: object, column: str, where: str) -> str:
    """The text of a row, empty for a null; raises `InvalidInput` for anything else than text."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidInput(f"{where}: {column!r} is {type(value).__name__}, must be text")
    try:
        if not value.isascii():
            value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{where}: holds {value[error.start]!r}, half of a character, which is not text; write the whole "
            "character, or remove it"
        ) from error
    return value


def form_of(path: Path) -> str:
    """The suffix of a file without that of its compression: `.jsonl` for `a.jsonl.gz`."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in COMPRESSED else suffix


def is_text(path: Path) -> bool:
    """Whether a file's name is that of a text. A JSON file must name a split, since JSON has many other uses."""
    form = form_of(path)
    return form in PLAIN or (form in ROWS and (form != ".json" or split_named(path.name) is not None))


def _opened_text(path: Path) -> IO[str]:
    with _opened(path) as file:
        beginning = file.read(4)
    encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if beginning.startswith(mark)), "utf-8")
    return io.TextIOWrapper(_opened(path), encoding=encoding)


def _opened(path: Path) -> Any:
    kind = COMPRESSED.get(path.suffix.lower())
    if kind is not None and path.stat().st_size == 0:
        raise EOFError("it is empty")
    if kind == "xz":
        return lzma.open(path, "rb")
    if kind is not None:
        return io.BufferedReader(_Readable(pyarrow().input_stream(str(path), compression=kind)))
    return path.open("rb")


class _Readable(io.RawIOBase):
    """A pyarrow stream with the interface that Python's text layer needs."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        found = self._stream.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


def _parsed(line: str, where: str) -> Any:
    try:
        return json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InvalidInput(f"{where}: not JSON ({error}); is the file whole?") from error


def _guess(error: UnicodeDecodeError) -> str:
    """A likely encoding of bytes that are not UTF-8."""
    around = error.object[max(0, error.start - 200) : error.start + 200]
    return "CP1252" if any(0x80 <= byte < 0xA0 for byte in around) else "LATIN1"
