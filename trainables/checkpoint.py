"""A trial's checkpoint: one file, written atomically, read without running any code from it."""

import os
from pathlib import Path
from typing import Any

import torch


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write `state` (tensors and plain Python values) so that `path` is always absent, old or complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_checkpoint(path: Path, *, map_location: torch.device | str = "cpu") -> dict[str, Any] | None:
    """The state last saved at `path`, or None if there is none."""
    if not path.exists():
        return None
    return torch.load(path, map_location=map_location, weights_only=True)
