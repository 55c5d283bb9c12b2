"""Packages that lack types, so that only this file imports them; each is imported when used."""

from typing import Any


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
