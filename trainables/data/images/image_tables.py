"""Images in Hugging Face's Parquet files: a column of encoded images, and one of class numbers."""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ire.invalid_input import InvalidInput
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
                        yield path / f"row {number}", image["bytes"], label
                        number += 1
            except (arrow.ArrowException, OSError, TypeError, KeyError) as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise InvalidInput(f"{path}: truncated, or not a table of images ({reason})") from error


def find_tables(root: Path, labels: Sequence[str]) -> ImageTables | None:
    """The tables of images below `root` with one of the columns `labels`; None if there are none."""
    arrow = pyarrow()
    splits: dict[str, list[Path]] = {}
    chosen, names = None, ()
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
        chosen, names = label, _class_names(schema, label) or names
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
