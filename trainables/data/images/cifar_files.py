"""The original files of CIFAR: pickled batches for Python, and batches of raw bytes for C."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from ire.invalid_input import InvalidInput
from trainables.data.originals import check_no_pointer

SIDE = 32
PIXELS = 3 * SIDE * SIDE
Arrays = tuple[dict[str, np.ndarray], list[str]]

# file names of the Python version: training batches, test batch, class names, and their keys
PYTHON = {
    "cifar10": (
        [f"data_batch_{n}" for n in range(1, 6)],
        "test_batch",
        "batches.meta",
        b"labels",
        b"label_names",
    ),
    "cifar100": (["train"], "test", "meta", b"fine_labels", b"fine_label_names"),
}
# the same for the binary version, with the number of bytes before the pixels
BINARY = {
    "cifar10": ([f"data_batch_{n}.bin" for n in range(1, 6)], "test_batch.bin", "batches.meta.txt", 1),
    "cifar100": (["train.bin"], "test.bin", "fine_label_names.txt", 2),
}


def has_python_batches(folder: Path, name: str) -> bool:
    train, test, meta, *_ = PYTHON[name]
    return all((folder / file).is_file() for file in (*train, test, meta))


def python_batches(folder: Path, name: str) -> Arrays:
    """Images (n, 3, 32, 32) and labels (n,) of both splits, and the classes' names; raises `InvalidInput`."""
    train, test, meta, labels, names = PYTHON[name]
    arrays: dict[str, np.ndarray] = {}
    for split, files in (("train", train), ("test", [test])):
        parts = [_batch(folder / file, labels) for file in files]
        arrays[f"{split}-images"] = np.concatenate([pixels for pixels, _ in parts]).reshape(-1, 3, SIDE, SIDE)
        arrays[f"{split}-labels"] = np.concatenate([numbers for _, numbers in parts])
    try:
        return arrays, [name.decode() for name in _unpickled(folder / meta)[names]]
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{folder / meta}: has no names of classes ({error!r}); fetch it again") from error


def _batch(path: Path, labels: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (n, 3072) uint8 and as many labels (n,); raises `InvalidInput` with the name of the file."""
    batch = _unpickled(path)
    try:
        pixels, numbers = np.asarray(batch[b"data"]), np.asarray(batch[labels], np.int64)
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise InvalidInput(f"{path}: not a batch of CIFAR ({error!r})") from error
    if pixels.dtype != np.uint8 or pixels.shape != (len(numbers), PIXELS) or numbers.ndim != 1:
        raise InvalidInput(
            f"{path}: pixels of shape {pixels.shape} and type {pixels.dtype}, labels of shape {numbers.shape}; must be "
            f"(n, {PIXELS}) of uint8 and (n,)"
        )
    return pixels, numbers


def has_binary_batches(folder: Path, name: str) -> bool:
    train, test, meta, _ = BINARY[name]
    return all((folder / file).is_file() for file in (*train, test, meta))


def binary_batches(folder: Path, name: str) -> Arrays:
    """The same from the version for C: one record per image, its labels and then its pixels."""
    train, test, meta, width = BINARY[name]
    arrays: dict[str, np.ndarray] = {}
    for split, files in (("train", train), ("test", [test])):
        records = np.concatenate([_records(folder / file, width + PIXELS) for file in files])
        arrays[f"{split}-labels"] = records[:, width - 1].copy()  # the fine label of CIFAR-100
        arrays[f"{split}-images"] = records[:, width:].reshape(-1, 3, SIDE, SIDE)
    check_no_pointer(folder / meta)
    return arrays, (folder / meta).read_text(encoding="utf-8").split()


def _records(path: Path, size: int) -> np.ndarray:
    check_no_pointer(path)
    values = np.fromfile(path, np.uint8)
    if len(values) == 0 or len(values) % size:
        raise InvalidInput(f"{path}: {len(values):,} bytes are not whole records of {size}; fetch it again")
    return values.reshape(-1, size)


class _ArraysOnly(pickle.Unpickler):
    """Refuses everything that the CIFAR batches do not contain, so that no pickle runs code."""

    ALLOWED = {
        (module, name)
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name in ("_reconstruct", "scalar")
    } | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not part of a CIFAR batch")
        return super().find_class(module, name)


def _unpickled(path: Path) -> dict[bytes, Any]:
    check_no_pointer(path)
    try:
        with path.open("rb") as file:
            return _ArraysOnly(file, encoding="bytes").load()
    except Exception as error:  # a damaged pickle raises almost anything
        raise InvalidInput(f"{path}: not a CIFAR batch ({error})") from error
