"""A trainer's own checkpoint, a folder of files, as plain tensors, so that `trial.save` keeps it."""

from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from ire.invalid_input import InvalidInput


def packed(folder: Path, *, without: Collection[str] = ()) -> dict[str, Tensor]:
    """The bytes of every file below `folder` (n,), by its path with forward slashes, except the names in `without`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in without)
    return {
        path.relative_to(folder).as_posix(): torch.from_numpy(np.fromfile(path, dtype=np.uint8))
        for path in files
    }


def unpack(files: Mapping[str, Tensor], folder: Path) -> None:
    """Write the files below `folder`, which exists; raises `InvalidInput` for a path that leads out of it."""
    for name, content in files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
            raise InvalidInput(f"the checkpoint holds a file {name!r}, which lies outside of its folder")
        target = folder.joinpath(*path.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        content.cpu().numpy().tofile(target)
