"""A prepared data set on disk: raw arrays, memory-mapped, and an index that says what they must be.

A folder holds one `.bin` file an array and `index.json` with shapes, types and checksums. The index is written last,
so a folder with an index is complete. Arrays are mapped, not read: all workers of a machine share the pages.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

import numpy as np

from ire.invalid_input import InvalidInput, unknown
from ire.plain_values import is_table

INDEX = "index.json"
FORMAT = 1
ENCODINGS = ("tokenizer.json", "words.txt")
"""Files beside the arrays that hold a text encoding; stores of earlier versions have the second one."""
DIGITS = 16
"""Hexadecimal digits of a checksum in messages and records."""
CHUNK = 1 << 24  # bytes hashed at a time


class Entry(TypedDict):
    """One array in the index."""

    file: str
    shape: list[int]
    dtype: str
    sha256: str


class Index(TypedDict):
    """The content of `index.json`."""

    format: int
    arrays: dict[str, Entry]
    encodings: NotRequired[dict[str, str]]
    """Checksums of `ENCODINGS`; stores of earlier versions have none."""
    facts: dict[str, Any]
    made_from: NotRequired[dict[str, str]]
    """The source and options, as `note_origin` adds them."""


@dataclass(frozen=True)
class Store:
    """A complete data set in `folder`."""

    folder: Path
    index: Index

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """What the data set says about itself: vocabulary size, class names, source."""
        return self.index["facts"]

    @cached_property
    def identity(self) -> str:
        """One line that no other data has: its name, and checksums of arrays, tokenizer and vocabulary.

        It does not depend on where the data came from or where it is stored.
        """
        arrays = {
            name: [entry["shape"], entry["dtype"], entry["sha256"]]
            for name, entry in self.index["arrays"].items()
        }
        text = json.dumps([arrays, self.facts.get("classes")], sort_keys=True)
        parts = [f"{self.folder.name} sha256 {hashlib.sha256(text.encode()).hexdigest()[:DIGITS]}"]
        if "tokenizer" in self.facts:
            files = [self.folder / name for name in ENCODINGS if (self.folder / name).is_file()]
            sums = [checksum(file)[:DIGITS] for file in files] or [self.facts["tokenizer"]]
            parts.append(f"tokenizer {sums[0]}")
        if "vocabulary" in self.facts:
            parts.append(f"vocabulary {self.facts['vocabulary']}")
        return ", ".join(parts)

    def array(self, name: str) -> np.ndarray:
        """The array of that name, mapped read-only."""
        if name not in self.index["arrays"]:
            raise unknown("array", name, self.index["arrays"], where=str(self.folder))
        entry = self.index["arrays"][name]
        if 0 in entry["shape"]:  # an empty file cannot be mapped
            return np.empty(entry["shape"], entry["dtype"])
        return np.memmap(self.folder / entry["file"], entry["dtype"], "r", shape=tuple(entry["shape"]))

    def verify(self) -> None:
        """Compare every checksum; raises `InvalidInput` naming the first file that differs."""
        for entry in self.index["arrays"].values():
            path = self.folder / entry["file"]
            if checksum(path) != entry["sha256"]:
                raise InvalidInput(
                    f"{path} is damaged: its checksum is not that of {INDEX}; prepare it again"
                )
        for name, expected in self.index.get("encodings", {}).items():
            path = self.folder / name
            if not path.is_file() or checksum(path) != expected:
                raise InvalidInput(
                    f"{path} is damaged or missing: its checksum is not that of {INDEX}; prepare it again"
                )


def open_store(folder: Path, *, remedy: str, check_sizes: bool = True) -> Store:
    """The data set in `folder`, its files' sizes checked; raises `InvalidInput` that ends in `remedy`."""
    path = folder / INDEX
    try:
        index: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidInput(f"no data in {str(folder)!r}: {remedy}") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidInput(f"cannot read {str(path)!r} ({error}): {remedy}") from error
    if not is_table(index) or index.get("format") != FORMAT or not is_table(index.get("arrays")):
        raise InvalidInput(f"{str(path)!r} is not an index of format {FORMAT}: {remedy}")
    found = cast(Index, index)
    for entry in found["arrays"].values() if check_sizes else ():
        file = folder / entry["file"]
        size = int(np.prod(entry["shape"], dtype=np.int64)) * np.dtype(entry["dtype"]).itemsize
        if not file.is_file() or file.stat().st_size != size:
            raise InvalidInput(f"{str(file)!r} is missing or does not have {size} bytes: {remedy}")
    return Store(folder, found)


def is_store(folder: Path) -> bool:
    """Whether a folder holds prepared data, complete or damaged."""
    if not (folder / INDEX).is_file():
        return False
    try:
        return bool(open_store(folder, remedy="", check_sizes=False))
    except InvalidInput:
        return False


def write_array(folder: Path, name: str, values: np.ndarray) -> None:
    """Write one array of a store that `write_index` will complete."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{name}.{os.getpid()}"
    with temporary.open("wb") as file:  # `tofile` does not say that a disk is full
        file.write(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
    temporary.replace(folder / f"{name}.bin")


def write_index(
    folder: Path,
    arrays: Mapping[str, tuple[tuple[int, ...], str]],
    *,
    moved: Mapping[str, Path] | None = None,
    **facts: Any,
) -> Store:
    """Complete a store: `arrays` maps names to (shape, dtype) of the files `NAME.bin` in the folder.

    The files in `moved` have other names in the folder, and become `NAME.bin` once everything is hashed.
    """
    moved = moved or {}
    entries: dict[str, Entry] = {
        name: {
            "file": f"{name}.bin",
            "shape": list(shape),
            "dtype": dtype,
            "sha256": checksum(moved.get(name, folder / f"{name}.bin")),
        }
        for name, (shape, dtype) in arrays.items()
    }
    encodings = {name: checksum(folder / name) for name in ENCODINGS if (folder / name).is_file()}
    index: Index = {"format": FORMAT, "arrays": entries, "encodings": encodings, "facts": facts}
    (folder / INDEX).unlink(missing_ok=True)  # an older one does not describe these files
    for name, path in moved.items():
        path.replace(folder / f"{name}.bin")
    _put_index(folder, index)
    return Store(folder, index)


def note_origin(store: Store, **origin: str) -> None:
    """Record in the index of a store what it was made from; the store's identity does not depend on it."""
    _put_index(store.folder, {**store.index, "made_from": origin})


def _put_index(folder: Path, index: Index) -> None:
    temporary = folder / f".{INDEX}.{os.getpid()}"
    temporary.write_text(json.dumps(index, indent=1), encoding="utf-8")
    temporary.replace(folder / INDEX)


def write_store(folder: Path, arrays: Mapping[str, np.ndarray], **facts: Any) -> Store:
    """Write a whole store of arrays that fit into memory."""
    (folder / INDEX).unlink(missing_ok=True)
    for name, values in arrays.items():
        write_array(folder, name, values)
    return write_index(folder, {name: (v.shape, v.dtype.name) for name, v in arrays.items()}, **facts)


def checksum(path: Path) -> str:
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
