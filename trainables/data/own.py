"""Data for your own tasks beside torch's data sets: saved Hugging Face data sets and mapped token files."""

import hashlib
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from ire.invalid_input import InvalidInput
from trainables.data.text.token_files import token_files
from trainables.data.untyped import datasets, from_numpy


def saved_dataset(folder: str | Path, *, columns: Sequence[str] | None = None) -> Any:
    """A folder written by `save_to_disk` of `datasets`, mapped: a map-style data set of dictionaries of tensors."""
    package = datasets()
    try:
        loaded = package.load_from_disk(str(folder))
    except (FileNotFoundError, ValueError) as error:
        raise InvalidInput(f"{folder}: not a data set that `save_to_disk` wrote ({error})") from error
    return loaded.with_format("torch", columns=None if columns is None else list(columns))


class TokenWindows(Dataset[tuple[Tensor, Tensor]]):
    """Windows of mapped token files (.bin of nanoGPT and llm.c, .npy), one after another.

    Example n is (inputs, targets), both (context,) int64, the targets shifted by one token. No window spans two
    files. The format of a file is detected as by `ire data prepare`; raises `InvalidInput` with its name.
    """

    def __init__(self, files: str | Path | Sequence[str | Path], *, context: int) -> None:
        paths = [Path(path) for path in ([files] if isinstance(files, str | Path) else files)]
        missing = [path for path in paths if not path.is_file()]
        if missing or not paths:
            raise InvalidInput(f"{missing[0] if missing else files}: no such file of tokens")
        self.files, self.context = token_files(paths), context
        counts = [max(0, (file.count - 1) // context) for file in self.files]
        self._ends = list(accumulate(counts))
        if self._ends[-1] == 0:
            raise InvalidInput(
                f"{paths[0]}: its tokens do not fill one window of {context} and the next token"
            )
        self._maps: list[np.ndarray] | None = None

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of all files."""
        digest = hashlib.sha256()
        for file in self.files:
            with file.path.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
        return digest.hexdigest()

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        if not 0 <= number < len(self):
            raise IndexError(number)
        if self._maps is None:
            self._maps = [file.tokens() for file in self.files]
        file = next(n for n, end in enumerate(self._ends) if number < end)
        first = (number - (self._ends[file - 1] if file else 0)) * self.context
        window = from_numpy(self._maps[file][first : first + self.context + 1].astype(np.int64))
        return window[:-1], window[1:]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": None}


def identity_of(name: str, *datasets: Any) -> str | None:
    """One line for `Task.data_identity`, from the fingerprints of data sets; None if one has none.

    Those of this package and of `datasets` have one; give any other an attribute `fingerprint`, a checksum.
    """
    prints = [getattr(data, "fingerprint", None) or getattr(data, "_fingerprint", None) for data in datasets]
    if not all(prints):
        return None
    return f"{name} sha256 {hashlib.sha256(' '.join(map(str, prints)).encode()).hexdigest()[:16]}"
