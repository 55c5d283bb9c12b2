"""Fashion-MNIST (Xiao et al. 2017): 60,000 training and 10,000 test images of ten kinds of clothes, 28x28 grey pixels.

Debian and Ubuntu package it (`apt install dataset-fashion-mnist`), so no download is needed there.
"""

import gzip
import zlib
from pathlib import Path

import numpy as np

from ire.invalid_input import InvalidInput
from trainables.data.dataset import DataSet
from trainables.data.images.class_folders import wrapped
from trainables.data.originals import Say, check_no_pointer
from trainables.data.store import Store, write_store
from trainables.data.untyped import torchvision_datasets

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Where the package `dataset-fashion-mnist` puts the original files."""
SIDE = 28
CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
FILES = {"train": "train", "test": "t10k"}
MAGIC = {"images-idx3": 2051, "labels-idx1": 2049}
"""The magic number with which a file begins, by the end of its name."""


class FashionMnist(DataSet):
    """uint8 images (n, 1, 28, 28) and labels (n,) of `train` and `test`."""

    name = "fashion-mnist"

    @property
    def accepts(self) -> str:
        return "a folder or archive of the original files, train-images-idx3-ubyte(.gz) and the other three"

    def read(self, folder: Path, say: Say, *, into: Path) -> Store:
        place = next((p for p in wrapped(folder) if _file(p, "train", "images-idx3") is not None), None)
        if place is None:
            raise InvalidInput(f"--from {str(folder)!r}: no {self.name} there; takes {self.accepts}")
        arrays: dict[str, np.ndarray] = {}
        for split, name in FILES.items():
            images, labels = (_numbers(place, name, what) for what in MAGIC)
            if images.shape[1:] != (SIDE, SIDE) or len(images) != len(labels) or labels.max() >= len(CLASSES):
                raise InvalidInput(
                    f"{place}: {name} has images of shape {images.shape} and labels of {labels.shape} up to "
                    f"{labels.max()}; {self.name} has 28x28 pixels and ten classes"
                )
            arrays |= {f"{split}-images": images[:, None], f"{split}-labels": labels}
            say(f"{len(images):,} {split} images")
        return write_store(into, arrays, classes=list(CLASSES))

    def download(self, into: Path, say: Say) -> Path:
        if DEBIAN.is_dir():
            say(f"found in {DEBIAN}")
            return DEBIAN
        say(f"downloading {self.name} into {into}")
        into.mkdir(parents=True, exist_ok=True)
        datasets = torchvision_datasets()
        original = datasets.FashionMNIST
        try:
            for file, md5 in original.resources:
                datasets.utils.download_url(original.mirrors[0] + file, str(into), file, md5)
        except (OSError, RuntimeError) as error:
            raise InvalidInput(
                f"cannot download {self.name} ({error}); run `apt install dataset-fashion-mnist` (Debian), or give "
                f"--from FOLDER: {self.accepts}"
            ) from error
        return into


def _file(folder: Path, name: str, what: str) -> Path | None:
    found = (folder / f"{name}-{what}-ubyte{suffix}" for suffix in (".gz", ""))
    return next((path for path in found if path.is_file()), None)


def _numbers(folder: Path, name: str, what: str) -> np.ndarray:
    """The array of an IDX file: a magic number and the length of each axis, big-endian, then bytes."""
    path = _file(folder, name, what)
    if path is None:
        raise InvalidInput(f"{folder}: has no {name}-{what}-ubyte(.gz)")
    check_no_pointer(path)
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        axes = int(what[-1])
        magic, *shape = np.frombuffer(content[: 4 * (1 + axes)], ">i4").tolist()
        if magic != MAGIC[what]:
            raise ValueError(f"begins with {magic}, must begin with {MAGIC[what]}")
        if min(shape) < 1:
            raise ValueError(f"says that its shape is {shape}")
        return np.frombuffer(content[4 * (1 + axes) :], np.uint8).reshape(shape)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InvalidInput(f"{path}: truncated, or not an IDX file ({error}); fetch it again") from error
