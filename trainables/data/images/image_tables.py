"""Images in Hugging Face's Parquet files: a column of encoded images, and one of class numbers."""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ire.invalid_input import InvalidInput
from ire.plain_values import is_table
from trainables.data.originals import check_no_pointer, files_below
from trainables.data.text.split_names import split_of_path
from trainables.data.untyped import parquet, pyarrow

IMAGES = ("image", "img")


@dataclass(frozen=True)
class ImageTables:
    """The Parquet files of each split below a folder."""

    splits: dict[str, list[Path]]
    label: str
    """The name of the column of class numbers."""
    classes: tuple[str, ...]
    """Empty if the files do not name them."""

    def rows(self, split: str) -> Iterator[tuple[Path, bytes, int]]:
        """A name, the encoded image and the class number of each row."""
        arrow = pyarrow()
        for path in self.splits[split]:
            try:
                file = parquet().ParquetFile(path)
                column = next(name for name in IMAGES if name in file.schema_arrow.names)
                number = 0
                for batch in file.iter_batches(256, columns=[column, self.label]):
                    images, labels = (batch.column(name).to_pylist() for name in (column, self.label))
                    for image, label in zip(images, labels, strict=True):
                        row = path / f"row {number}"
                        yield row, _encoded(image, row), _number(label, row)
                        number += 1
            except InvalidInput:
                raise
            except (arrow.ArrowException, OSError, TypeError, KeyError) as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise InvalidInput(f"{path}: truncated, or not a table of images ({reason})") from error


def _encoded(image: Any, row: Path) -> bytes:
    encoded: object = image["bytes"] if is_table(image) else image
    if not isinstance(encoded, bytes):
        raise InvalidInput(
            f"{row}: has no image; save the data set with its images in the files, not their paths"
        )
    return encoded


def _number(label: object, row: Path) -> int:
    if not isinstance(label, int) or label < 0:
        raise InvalidInput(
            f"{row}: its class is {label!r}, must be a number from 0; choose a split with labels (-1 hides them)"
        )
    return label


def find_tables(root: Path, labels: Sequence[str]) -> ImageTables | None:
    """The tables of images below `root` with one of the columns `labels`; None if there are none."""
    arrow = pyarrow()
    splits: dict[str, list[Path]] = {}
    chosen, names, named_by = None, (), root
    for path in files_below(root) if root.is_dir() else ():
        if path.suffix.lower() != ".parquet":
            continue
        check_no_pointer(path)
        try:
            schema = parquet().read_schema(path)
        except (arrow.ArrowException, OSError) as error:
            reason = (str(error).splitlines() or [""])[0]
            raise InvalidInput(f"{path}: truncated or damaged ({reason}); fetch it again") from error
        label = next((name for name in labels if name in schema.names), None)
        if label is None or not any(name in schema.names for name in IMAGES):
            continue
        chosen, here = label, _class_names(schema, label)
        if here and names and list(here) != list(names):
            raise InvalidInput(
                f"{path}: the names of its classes, or their order, are not those of {named_by}"
            )
        names, named_by = (here, path) if here else (names, named_by)
        split = split_of_path(path, root)
        if split is not None:
            splits.setdefault(split, []).append(path)
    return ImageTables(splits, chosen, tuple(names)) if chosen is not None and splits else None


def _class_names(schema: Any, label: str) -> Sequence[str]:
    """The names that `datasets` keeps in the metadata of a file."""
    metadata: dict[bytes, bytes] = schema.metadata or {}
    text = metadata.get(b"huggingface")
    try:
        return json.loads(text)["info"]["features"][label]["names"] if text else ()
    except (KeyError, ValueError, TypeError):
        return ()


def content(encoded: bytes) -> io.BytesIO:
    return io.BytesIO(encoded)
