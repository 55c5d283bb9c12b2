"""Packages without types, as `Any`, for the files of this room, each imported when used; and a function of torch."""

from typing import Any

import numpy as np
import torch
from torch import Tensor


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor on the CPU that shares the array's memory, whatever torch's default device is."""
    return torch.from_numpy(array)  # pyright: ignore[reportUnknownMemberType]


def pyarrow() -> Any:
    import pyarrow  # pyright: ignore[reportMissingTypeStubs]

    return pyarrow


def parquet() -> Any:
    import pyarrow.parquet  # pyright: ignore[reportMissingTypeStubs]

    return pyarrow.parquet


def datasets() -> Any:
    import datasets  # pyright: ignore[reportMissingTypeStubs]

    return datasets


def torchvision_datasets() -> Any:
    import torchvision.datasets  # pyright: ignore[reportMissingTypeStubs]

    return torchvision.datasets


def scipy_io() -> Any:
    import scipy.io  # pyright: ignore[reportMissingTypeStubs]

    return scipy.io
