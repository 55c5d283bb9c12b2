"""WebDataset's shards, plain tar files of `KEY.EXTENSION`, as a map-style data set: any example at once.

The files are indexed once, and only their headers are read for it. So a sweep can shuffle all examples and resume at
any step. The format is designed for reading in order, so a shuffle over slow network disks is slow.
"""

import glob
import hashlib
import io
import itertools
import json
import os
import re
import tarfile
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from torch.utils.data import Dataset

from ire.invalid_input import InvalidInput
from trainables.data.images.open_image import SUFFIXES, rgb_image
from trainables.data.originals import WholeMember, check_no_pointer
from trainables.data.untyped import from_numpy

KEY = "__key__"
NUMBERS = ("cls", "cls2", "index", "id")
TEXTS = ("txt", "text", "transcript", "caption")


class TarShards(Dataset[Any]):
    """The examples of some shards, each a dictionary from extension to content, and `__key__`.

    `shards` is a pattern (`data/train-{000..127}.tar`, `data/train-*.tar`) or a list of files. Content is decoded by
    its extension: images to uint8 (3, h, w), `.cls` to a number, `.json`, `.txt`, `.npy`; the rest stays bytes, since
    unpickling can run code. `transform` maps this dictionary to the example that goes into a batch.
    """

    def __init__(
        self,
        shards: str | Path | Sequence[str | Path],
        *,
        transform: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        self.files = _files(shards)
        self._transform = transform
        self._extensions: list[str] = []
        # one row per member: its shard, where it begins and ends, its extension; one row per example: its first member
        self._members = {name: array("q") for name in ("shard", "begin", "size", "extension")}
        self._examples = array("q")
        self._keys: list[str] = []
        digest = hashlib.sha256()
        for number, path in enumerate(self.files):
            self._index(number, path)
            digest.update(path.name.encode())
        for column in (*self._members.values(), self._examples):
            digest.update(column.tobytes())
        digest.update("\0".join(self._keys).encode())
        self.fingerprint = digest.hexdigest()
        """A fingerprint of the names, the order and the sizes of all files in the shards."""
        self._opened: tuple[int, dict[int, BinaryIO]] = (os.getpid(), {})

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, number: int) -> Any:
        number = range(len(self))[number]  # negative ones count from the end, as in a list
        first = self._examples[number]
        last = self._examples[number + 1] if number + 1 < len(self) else len(self._members["shard"])
        example: dict[str, Any] = {KEY: self._keys[number]}
        for member in range(first, last):
            shard, begin, size, kind = (column[member] for column in self._members.values())
            file = self._file(shard)
            file.seek(begin)
            name = self._extensions[kind]
            content = file.read(size)
            if len(content) < size:
                raise InvalidInput(f"{self.files[shard]}: is shorter than when it was indexed")
            example[name] = _decoded(content, name, self.files[shard] / f"{self._keys[number]}.{name}")
        return example if self._transform is None else self._transform(example)

    def _index(self, number: int, path: Path) -> None:
        check_no_pointer(path)
        key = None
        try:
            with tarfile.open(path, "r:", tarinfo=WholeMember) as archive:
                for member in archive:
                    if member.islnk() or member.issym() or member.issparse():
                        raise InvalidInput(
                            f"{path}: {member.name!r} is a link or a sparse file, which cannot be read by its place; "
                            "write the shard anew, as with `tar --dereference --hard-dereference`"
                        )
                    if not member.isfile():
                        continue
                    folder, _, name = member.name.rpartition("/")
                    stem, _, extension = name.partition(".")
                    if not stem or not extension:
                        continue
                    if (folder, stem) != key:
                        key = folder, stem
                        self._examples.append(len(self._members["shard"]))
                        self._keys.append(f"{folder}/{stem}".lstrip("/"))
                    if extension not in self._extensions:
                        self._extensions.append(extension)
                    row = (number, member.offset_data, member.size, self._extensions.index(extension))
                    for column, value in zip(self._members.values(), row, strict=True):
                        column.append(value)
        except (tarfile.TarError, OSError, EOFError) as error:
            raise InvalidInput(
                f"{path}: not a whole, uncompressed tar file ({error}); fetch it again, or unpack its .gz"
            ) from error
        if path.stat().st_size < self._end_of(number):
            raise InvalidInput(f"{path}: truncated; fetch it again")

    def _end_of(self, shard: int) -> int:
        """Where the last member of `shard`, the one that was just indexed, ends; 0 if it has no members."""
        if not self._members["shard"] or self._members["shard"][-1] != shard:
            return 0
        return self._members["begin"][-1] + self._members["size"][-1]

    def _file(self, shard: int) -> BinaryIO:
        if self._opened[0] != os.getpid():  # each worker has its own file positions
            self._opened = (os.getpid(), {})
        files = self._opened[1]
        if shard not in files:
            files[shard] = self.files[shard].open("rb")
        return files[shard]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": (0, {})}


def _files(shards: str | Path | Sequence[str | Path]) -> list[Path]:
    patterns = [shards] if isinstance(shards, str | Path) else list(shards)
    found: list[Path] = []
    for pattern in patterns:
        for one in _unbraced(str(pattern)):
            files = sorted(glob.glob(os.path.expanduser(one)))
            if not files:
                raise InvalidInput(
                    f"shards {str(pattern)!r}: no file {one!r}; they must be on a disk, URLs are not read"
                )
            found += map(Path, files)
    return found


def _unbraced(pattern: str) -> list[str]:
    """`a-{00..11}` as the twelve names that a shell would make of it."""
    ranges = list(re.finditer(r"\{(\d+)\.\.(\d+)\}", pattern))
    choices = [
        [f"{number:0{len(found[1])}d}" for number in range(int(found[1]), int(found[2]) + 1)]
        for found in ranges
    ]
    texts = re.split(r"\{\d+\.\.\d+\}", pattern)
    return [
        "".join(itertools.chain.from_iterable(zip(texts, (*chosen, ""), strict=True)))
        for chosen in itertools.product(*choices)
    ]


def _decoded(content: bytes, extension: str, path: Path) -> Any:
    kind = extension.rpartition(".")[2].lower()
    try:
        if f".{kind}" in SUFFIXES:
            with rgb_image(path, io.BytesIO(content)) as image:
                return from_numpy(np.asarray(image).transpose(2, 0, 1).copy())
        if kind in NUMBERS:
            return int(content)
        if kind == "json":
            return json.loads(content)
        if kind in TEXTS:
            return content.decode()
        if kind == "npy":
            return from_numpy(np.load(io.BytesIO(content), allow_pickle=False))
    except InvalidInput:
        raise
    except (ValueError, EOFError, TypeError) as error:
        raise InvalidInput(f"{path}: is not a valid .{kind} file ({error})") from error
    return content
