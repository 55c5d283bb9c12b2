"""Existing token files, mapped: nanoGPT's bare numbers, llm.c's shards with a header, numpy's arrays."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ire.invalid_input import InvalidInput
from trainables.data.originals import check_no_pointer

SUFFIXES = (".bin", ".npy")
HEADER = 1024  # bytes: 256 numbers of 32 bits
KNOWN = {20240520: (1, "uint16"), 20240801: (7, "uint32")}
"""By the first number of llm.c's header: the supported version, and the type of a token (GPT-2's, Llama-3's)."""
FOREIGN = {
    b"PK\x03\x04": "a zip file, as PyTorch saves",
    b"GGUF": "a GGUF model",
    b"\x7fELF": "a program",
    b"MMIDIDX": "an index of Megatron",
    b"\x89HDF": "HDF5",
    b"\x1f\x8b\x08": "compressed by gzip",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
}
SAMPLED = 1 << 18  # numbers that are inspected
HIGHEST_HALF = 15  # the high half of a token number below a million
MINUS_ONE = 0xFFFF  # the high half of a negative number


@dataclass(frozen=True)
class TokenFile:
    """The location and type of the tokens in a file."""

    path: Path
    dtype: str
    offset: int
    """Bytes before the first token."""
    count: int

    @property
    def is_bare(self) -> bool:
        """Whether nothing in the file says its type, which is then concluded from its numbers."""
        return self.offset == 0

    def tokens(self) -> np.ndarray:
        """The tokens (count,), mapped."""
        return np.memmap(self.path, self.dtype, "r", offset=self.offset, shape=(self.count,))


def token_file(path: Path) -> TokenFile:
    """Detect how a file holds its tokens; raises `InvalidInput`, with its name, if it is not a token file."""
    check_no_pointer(path)
    size = path.stat().st_size
    if size == 0:
        raise InvalidInput(f"{path}: is empty; a split needs tokens")
    if (what := foreign(path)) is not None:
        raise InvalidInput(f"{path}: is {what}, not a token file")
    with path.open("rb") as file:
        beginning = file.read(16)
    if beginning.startswith(b"\x93NUMPY"):
        return _of_numpy(path)
    if size >= 12:
        magic, version, count = np.frombuffer(beginning[:12], np.int32).tolist()
        if magic in KNOWN:
            return _with_header(path, size, magic, version, count)
    if size % 2:
        raise InvalidInput(
            f"{path}: has an odd number of bytes, {size:,}; tokens have 2 or 4: is the file whole?"
        )
    dtype = _bare_type(path, size)
    width = np.dtype(dtype).itemsize
    if size % width:
        raise InvalidInput(
            f"{path}: has {size:,} bytes, but its tokens seem to have {width}: is the file whole?"
        )
    return TokenFile(path, dtype, 0, size // width)


def token_files(paths: Sequence[Path]) -> list[TokenFile]:
    """The shards of a split in the order of the numbers in their names; raises `InvalidInput` if they do not agree."""
    found = [token_file(path) for path in sorted(paths, key=_by_number)]
    check_one_type(found)
    return found


def check_one_type(files: Sequence[TokenFile]) -> None:
    """Raise `InvalidInput` unless all files have tokens of one type."""
    for file in files[1:]:
        if file.dtype != files[0].dtype:
            raise InvalidInput(
                f"{file.path}: its tokens seem to be {file.dtype}, and those of {files[0].path.name} {files[0].dtype}; "
                "all shards of a data set must have one type"
            )


def foreign(path: Path) -> str | None:
    """What a file is, if it is not a token file despite its name; None if it may be one."""
    with path.open("rb") as file:
        beginning = file.read(16)
        file.seek(max(0, path.stat().st_size - 1))
        last = file.read(1)
    if beginning[:1] == b"\x80" and beginning[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") and last == b".":
        return "a pickle"
    return next((what for mark, what in FOREIGN.items() if beginning.startswith(mark)), None)


def copied(
    files: Sequence[TokenFile], into: Path, *, dtype: str, start: int = 0, stop: int | None = None
) -> int:
    """Write tokens `start` to `stop` of the joined files to `into`, part by part; returns the highest token."""
    highest, at = 0, 0
    with into.open("wb") as out:
        for file in files:
            tokens = file.tokens()
            first = max(0, start - at)
            last = file.count if stop is None else min(file.count, stop - at)
            at += file.count
            for begin in range(first, max(first, last), SAMPLED):
                part = tokens[begin : min(last, begin + SAMPLED)]
                if (np.dtype(file.dtype).kind == "i" and part.min() < 0) or int(part.max()) >= 1 << 31:
                    raise InvalidInput(
                        f"{file.path}: has numbers from {int(part.min())} to {int(part.max())}, which are not tokens"
                    )
                highest = max(highest, int(part.max()))
                out.write(part.astype(dtype).tobytes())
    return highest


def _with_header(path: Path, size: int, magic: int, version: int, count: int) -> TokenFile:
    known, dtype = KNOWN[magic]
    if version != known:
        raise InvalidInput(
            f"{path}: llm.c's header has version {version}; must be version {known} for {magic}"
        )
    if count == 0:
        raise InvalidInput(f"{path}: its header says no tokens; a split needs tokens")
    expected = HEADER + count * np.dtype(dtype).itemsize
    if size != expected:
        raise InvalidInput(
            f"{path}: its header says {count:,} tokens, which need {expected:,} bytes, but it has {size:,}; "
            "fetch it again"
        )
    return TokenFile(path, dtype, HEADER, count)


def _of_numpy(path: Path) -> TokenFile:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError) as error:
        raise InvalidInput(f"{path}: truncated, or not an array of numbers ({error})") from error
    if array.ndim != 1 or array.dtype.kind not in "iu" or len(array) == 0:
        raise InvalidInput(f"{path}: {array.dtype} of shape {array.shape}; tokens must be a row of integers")
    return TokenFile(path, array.dtype.str, array.offset, len(array))


def _bare_type(path: Path, size: int) -> str:
    """uint16, unless the high halves of the 32-bit numbers are as small as those of token numbers.

    In 16-bit tokens both halves of a pair may hold any token; in 32-bit ones the second is the high half, at most 15.
    """
    if size % 4 or size < 64:
        return "uint16"
    halves = np.memmap(path, np.uint16, "r")
    low, high = (_sample(halves[first::2]) for first in (0, 1))
    if low.byteswap().max() <= HIGHEST_HALF < high.byteswap().max():
        raise InvalidInput(
            f"{path}: its tokens seem to be big-endian, of 32 bits; convert them, as with numpy's "
            "fromfile(FILE, '>u4').astype('<u4').tofile(FILE)"
        )
    if high.max() == MINUS_ONE and low.max() > HIGHEST_HALF >= _highest(high[high < MINUS_ONE]):
        raise InvalidInput(f"{path}: has negative numbers, of 32 bits, which are not tokens")
    if not (high.max() <= HIGHEST_HALF < low.max() or (high.max() == 0 and low.any())):
        return "uint16"
    wide = np.memmap(path, np.uint32, "r")
    if size % 8 == 0 and not _sample(wide[1::2]).any() and _sample(wide[::2]).any():
        return "uint64"  # as numpy and torch save by default
    return "uint32"


def _highest(values: np.ndarray) -> int:
    return int(values.max()) if len(values) else 0


def _sample(values: np.ndarray) -> np.ndarray:
    """Values from the beginning, the middle and the end."""
    part, middle = SAMPLED // 3, len(values) // 2
    return np.concatenate([values[:part], values[middle : middle + part], values[-part:]])


def _by_number(path: Path) -> list[tuple[int, str | int]]:
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", str(path))]
