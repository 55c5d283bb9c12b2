"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009): 50,000 training and 10,000 test images of 32x32 pixels."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ire.invalid_input import InvalidInput
from trainables.data.dataset import DataSet
from trainables.data.images.cifar_files import (
    SIDE,
    Arrays,
    binary_batches,
    has_binary_batches,
    has_python_batches,
    python_batches,
)
from trainables.data.images.class_folders import classes_in, find_splits, listed, wrapped
from trainables.data.images.image_tables import content, find_tables
from trainables.data.images.open_image import rgb_image
from trainables.data.originals import Say
from trainables.data.store import Store, write_store
from trainables.data.text.split_names import parts_there
from trainables.data.untyped import torchvision_datasets

TESTS = ("test", "val", "valid", "validation")


class Cifar(DataSet):
    """The data set `cifar10` or `cifar100`: uint8 images (n, 3, 32, 32) and labels (n,) of `train` and `test`."""

    def __init__(self, classes: int) -> None:
        self.name = f"cifar{classes}"
        self.classes = classes

    @property
    def accepts(self) -> str:
        return (
            "the Python or binary batches, images in train/CLASS/*.png and test/CLASS/*.png, or Hugging Face's Parquet "
            "files; as a folder, .tar(.gz) or .zip"
        )

    def read(self, folder: Path, say: Say, *, into: Path) -> Store:
        arrays, names = self._arrays(folder, say)
        for split in ("train", "test"):
            labels = arrays[f"{split}-labels"]
            is_of_these = len(names) == self.classes and len(labels) > 0
            if not is_of_these or labels.min() < 0 or labels.max() >= self.classes:
                raise InvalidInput(
                    f"--from {str(folder)!r}: {len(labels)} {split} images in {len(names)} classes"
                    + (f", numbered from {labels.min()} to {labels.max()}" if len(labels) else "")
                    + f"; {self.name} has {self.classes} classes, numbered from 0"
                )
            arrays[f"{split}-labels"] = labels.astype(np.uint8)
        return write_store(into, arrays, classes=names)

    def _arrays(self, folder: Path, say: Say) -> Arrays:
        inner = "cifar-10-batches-" if self.classes == 10 else "cifar-100-"
        for outer in wrapped(folder):
            for place in (outer, outer / f"{inner}py", outer / f"{inner}python", outer / f"{inner}bin"):
                place = outer / "cifar-100-binary" if place.name == "cifar-100-bin" else place
                if has_python_batches(place, self.name):
                    say("reading the Python batches")
                    return python_batches(place, self.name)
                if has_binary_batches(place, self.name):
                    say("reading the binary batches")
                    return binary_batches(place, self.name)
        if (found := find_splits(folder, ("train",), TESTS)) is not None:
            return self._image_folders(*found, say)
        if (tables := find_tables(folder, ("fine_label", "label", "labels"))) is not None:
            test = next((split for split in ("test", "validation") if split in tables.splits), None)
            if "train" in tables.splits and test is not None:
                files = ", ".join(f"{split}{parts_there(paths)}" for split, paths in tables.splits.items())
                say(f"reading Parquet files: {files}")
                train, rest = (self._pixels(tables.rows(split)) for split in ("train", test))
                names = tables.classes or tuple(map(str, range(self.classes)))
                return _named(train, rest), list(names)
        raise InvalidInput(f"--from {str(folder)!r}: no {self.name} there; takes {self.accepts}")

    def _image_folders(self, train: Path, test: Path, say: Say) -> Arrays:
        names = classes_in(train)
        if test.name != "test":
            say(f"{test.name}/ becomes the test images")
        found: list[tuple[np.ndarray, np.ndarray]] = []
        for folder in (train, test):
            files = listed(folder, names, trained=train, say=say)
            found.append(self._pixels((p, None, n) for p, n in zip(files.paths, files.labels, strict=True)))
        return _named(*found), names

    def _pixels(self, rows: Iterable[tuple[Path, bytes | None, int]]) -> tuple[np.ndarray, np.ndarray]:
        """Images (n, 3, 32, 32) and labels (n,) of files, or of encoded images."""
        images = bytearray()
        labels: list[int] = []
        for path, encoded, label in rows:
            with rgb_image(path, None if encoded is None else content(encoded)) as image:
                if image.size != (SIDE, SIDE):
                    raise InvalidInput(f"{path}: {image.width}x{image.height} pixels, must be 32x32")
                images += np.asarray(image).transpose(2, 0, 1).tobytes()
            labels.append(label)
        return np.frombuffer(images, np.uint8).reshape(-1, 3, SIDE, SIDE), np.array(labels, np.int64)

    def download(self, into: Path, say: Say) -> Path:
        datasets = torchvision_datasets()
        say(f"downloading {self.name} into {into}")
        into.mkdir(parents=True, exist_ok=True)
        dataset = getattr(datasets, self.name.upper())
        try:
            datasets.utils.download_url(dataset.url, str(into), dataset.filename, dataset.tgz_md5)
        except (OSError, RuntimeError) as error:
            raise InvalidInput(
                f"cannot download {self.name} ({error}); get it elsewhere and give --from FOLDER: {self.accepts}"
            ) from error
        return into / dataset.filename


def _named(
    train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]
) -> dict[str, np.ndarray]:
    return {
        f"{split}-{what}": values
        for split, arrays in (("train", train), ("test", test))
        for what, values in zip(("images", "labels"), arrays, strict=True)
    }
