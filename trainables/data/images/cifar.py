"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009): 50,000 training and 10,000 test images of 32x32 pixels.

Prepared from the original python batches, or from a folder of images (`train/airplane/0000.png`). The batches are
pickles, that is, programs: they are read by an unpickler that knows arrays and nothing else.
"""

import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from ire.invalid_input import InvalidInput
from trainables.data.dataset import DataSet, Say
from trainables.data.store import Store, write_store

SIDE = 32
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")

# file names of the python version: training batches, test batch, class names, and their keys
LAYOUTS = {
    "cifar10": (
        [f"data_batch_{n}" for n in range(1, 6)],
        "test_batch",
        "batches.meta",
        b"labels",
        b"label_names",
    ),
    "cifar100": (["train"], "test", "meta", b"fine_labels", b"fine_label_names"),
}
INNER = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}


class Cifar(DataSet):
    """The data set `cifar10` or `cifar100`: uint8 images (n, 3, 32, 32) and labels (n,) of `train` and `test`."""

    accepts = (
        "the python batches (folder or .tar.gz), or a folder of images: train/CLASS/*.png, test/CLASS/*.png"
    )

    def __init__(self, classes: int) -> None:
        self.name = f"cifar{classes}"
        self.classes = classes

    def convert(self, source: Path, say: Say) -> Store:
        source = self._unpacked(source, say)
        batches = next((f for f in (source / INNER[self.name], source) if self._has_batches(f)), None)
        if batches is not None:
            say(f"reading the python batches in {batches}")
            arrays, names = self._python_batches(batches)
        elif (source / "train").is_dir() and (source / "test").is_dir():
            arrays, names = self._image_folders(source, say)
        else:
            raise InvalidInput(f"--from {str(source)!r}: no {self.name} there; takes {self.accepts}")
        for split in ("train", "test"):
            labels = arrays[f"{split}-labels"]
            if len(labels) == 0 or labels.max() >= self.classes or len(names) != self.classes:
                raise InvalidInput(
                    f"--from {str(source)!r}: {len(labels)} {split} images in {len(names)} classes; "
                    f"{self.name} has {self.classes} classes"
                )
        return write_store(self.folder, arrays, classes=names, source=str(source.name))

    def download(self, into: Path, say: Say) -> Path:
        import torchvision  # here: nothing but a download needs it

        dataset = getattr(torchvision.datasets, self.name.upper())
        try:
            for train in (True, False):
                dataset(str(into), train=train, download=True)  # verifies MD5 sums
        except (OSError, RuntimeError) as error:
            raise InvalidInput(
                f"cannot download {self.name} ({error}); get it elsewhere and give --from FOLDER: {self.accepts}"
            ) from error
        return into

    def _unpacked(self, source: Path, say: Say) -> Path:
        if source.is_file() and tarfile.is_tarfile(source):
            target = self.folder / "unpacked"
            say(f"unpacking {source.name}")
            with tarfile.open(source) as archive:
                archive.extractall(target, filter="data")
            return target
        if not source.is_dir():
            raise InvalidInput(f"--from {str(source)!r}: not a folder or archive; takes {self.accepts}")
        return source

    def _has_batches(self, folder: Path) -> bool:
        train, test, meta, *_ = LAYOUTS[self.name]
        return all((folder / file).is_file() for file in (*train, test, meta))

    def _python_batches(self, folder: Path) -> tuple[dict[str, np.ndarray], list[str]]:
        train, test, meta, labels, names = LAYOUTS[self.name]
        arrays = {}
        for split, files in (("train", train), ("test", [test])):
            parts = [_unpickled(folder / file) for file in files]
            try:
                pixels = np.concatenate([np.asarray(part[b"data"], dtype=np.uint8) for part in parts])
                arrays[f"{split}-images"] = pixels.reshape(-1, 3, SIDE, SIDE)
                arrays[f"{split}-labels"] = np.concatenate([np.asarray(p[labels], np.uint8) for p in parts])
            except (KeyError, ValueError, TypeError) as error:
                raise InvalidInput(f"{folder}: not a batch of {self.name} ({error!r})") from error
        return arrays, [name.decode() for name in _unpickled(folder / meta)[names]]

    def _image_folders(self, source: Path, say: Say) -> tuple[dict[str, np.ndarray], list[str]]:
        from PIL import Image  # comes with torchvision

        names = sorted(path.name for path in (source / "train").iterdir() if path.is_dir())
        arrays = {}
        for split in ("train", "test"):
            files = [
                (path, label)
                for label, name in enumerate(names)
                for path in sorted((source / split / name).glob("*"))
                if path.suffix.lower() in IMAGE_SUFFIXES
            ]
            say(f"reading {len(files)} images in {source / split}")
            images = np.empty((len(files), 3, SIDE, SIDE), np.uint8)
            for row, (path, _) in enumerate(files):
                with Image.open(path) as image:
                    pixels = np.asarray(image.convert("RGB"))
                if pixels.shape != (SIDE, SIDE, 3):
                    raise InvalidInput(f"{path}: {pixels.shape[1]}x{pixels.shape[0]} pixels, must be 32x32")
                images[row] = pixels.transpose(2, 0, 1)
            arrays[f"{split}-images"] = images
            arrays[f"{split}-labels"] = np.array([label for _, label in files], np.uint8)
        return arrays, names


class _ArraysOnly(pickle.Unpickler):
    """Refuses everything that the CIFAR batches do not hold: no pickle runs code here."""

    ALLOWED = {
        (module, name)
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name in ("_reconstruct", "scalar")
    } | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} does not belong there")
        return super().find_class(module, name)


def _unpickled(path: Path) -> dict[bytes, Any]:
    try:
        with path.open("rb") as file:
            return _ArraysOnly(file, encoding="bytes").load()
    except (pickle.UnpicklingError, EOFError, ValueError, AttributeError) as error:
        raise InvalidInput(f"{path}: not a CIFAR batch ({error})") from error
