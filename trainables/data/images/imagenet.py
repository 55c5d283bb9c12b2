"""ImageNet-1k (Russakovsky et al. 2015), or any folder of images in that layout, as a list of files.

The images stay where they are, `train/CLASS/*.JPEG` and `val/CLASS/*.JPEG`; what is prepared is an index of them, so
that training starts without walking a million files. Those of an archive or of Parquet files are kept in the store.

Pillow is imported when used.
"""

import os
from pathlib import Path

import numpy as np
from torch import Tensor

from ire.invalid_input import InvalidInput
from trainables.data.dataset import AS_USUAL, DataSet, Reading
from trainables.data.images.class_folders import Listed, classes_in, find_splits, listed, wrapped
from trainables.data.images.image_tables import find_tables
from trainables.data.images.imagenet_files import (
    check_not_official_archives,
    extracted,
    flat_images,
    labelled,
)
from trainables.data.images.open_image import rgb_image
from trainables.data.originals import Say, check_archive, check_no_pointer, unpack
from trainables.data.store import Store, write_store
from trainables.data.untyped import from_numpy

DRAWS = 5  # uniform numbers per image: area, aspect, row, column, mirror
AREA = (0.08, 1.0)
ASPECT = (3 / 4, 4 / 3)
RESIZE = 256 / 224
"""Shorter side of an evaluated image, as a multiple of the window that is cut out of its middle."""
TESTS = ("val", "validation", "valid", "test")
KAGGLE_FOLDERS = ("ILSVRC/Data/CLS-LOC", "Data/CLS-LOC")
SMALLEST = 512
"""Smaller files, in bytes, may be pointers to images elsewhere."""
KEPT = "originals"
"""The folder of a store that keeps the images of archives and Parquet files."""


class ImageNet(DataSet):
    """The files of `train` and `test` (the official validation set), their sizes and their labels."""

    name = "imagenet"

    @property
    def accepts(self) -> str:
        return (
            "images in ImageNet's layout, train/CLASS/*.JPEG and val/CLASS/*.JPEG (or a flat val/ with the file of its "
            "labels), as a folder, .tar or .zip; or Hugging Face's Parquet files"
        )

    def convert(self, source: Path, say: Say, *, into: Path | None = None, how: Reading = AS_USUAL) -> Store:
        self.check_options(how)
        into = into or self.folder
        if source.is_dir():
            return self.read(source, say, into=into)
        check_not_official_archives(source)
        check_archive(source)
        kept = into / KEPT
        say(f"unpacking {source.name} into {kept}")
        unpack(source, kept)
        try:
            return self.read(kept, say, into=into)
        except InvalidInput as error:  # the user knows these files by another name
            raise InvalidInput(str(error).replace(str(kept), str(source))) from error

    def read(self, folder: Path, say: Say, *, into: Path) -> Store:
        kept = into / KEPT
        root = KEPT if folder == kept else str(folder.resolve())
        places = [folder, *(p / inner for p in wrapped(folder) for inner in KAGGLE_FOLDERS)]
        found = next(filter(None, (find_splits(p, ("train",), TESTS) for p in places if p.is_dir())), None)
        if found is not None:
            arrays, classes = self._indexed(*found, folder, say)
            return write_store(into, arrays, classes=classes, root=root)
        check_not_official_archives(folder)
        if (tables := find_tables(folder, ("label", "labels"))) is None:
            raise InvalidInput(f"--from {str(folder)!r}: has no train/ and val/; takes {self.accepts}")
        names = extracted(tables, kept, say)
        try:
            arrays, classes = self._indexed(kept / "train", kept / "val", kept, say)
        except InvalidInput as error:  # the user knows these files by another name
            raise InvalidInput(str(error).replace(str(kept), str(folder))) from error
        if names:  # the folders are named by the numbers of their classes, some of which may have no images
            numbers = np.array([int(name) for name in classes], np.int32)
            arrays |= {f"{split}-labels": numbers[arrays[f"{split}-labels"]] for split in ("train", "test")}
        return write_store(into, arrays, classes=names or classes, root=KEPT)

    def verify(self, store: Store) -> None:
        super().verify(store)
        for split in ("train", "test"):
            for row, size in zip(store.array(f"{split}-paths"), store.array(f"{split}-sizes"), strict=True):
                path = image_path(store, row)
                if not path.is_file() or path.stat().st_size != size:
                    raise InvalidInput(
                        f"{path}: is missing, or does not have {size:,} bytes; prepare the data again"
                    )

    def _indexed(
        self, train: Path, test: Path, root: Path, say: Say
    ) -> tuple[dict[str, np.ndarray], list[str]]:
        """Paths below `root`, sizes and labels of both splits, and the names of the classes."""
        classes = classes_in(train)
        arrays: dict[str, np.ndarray] = {}
        for split, place in (("train", train), ("test", test)):
            is_flat = not any((place / name).is_dir() for name in classes) and bool(flat_images(place))
            files = (
                labelled(place, classes, root, say)
                if is_flat
                else listed(place, classes, trained=train, say=say)
            )
            if not files.paths:
                raise InvalidInput(f"--from {str(root)!r}: no images in {place.name}/; takes {self.accepts}")
            arrays |= _index(split, files, root)
        return arrays, classes

    def download(self, into: Path, say: Say) -> Path:
        raise InvalidInput(
            "ImageNet cannot be downloaded without its licence: get it at image-net.org and give --from FOLDER, "
            f"{self.accepts}"
        )


def images_of(store: Store) -> Path:
    """The folder below which the images of a store lie."""
    return store.folder / store.facts["root"]


def image_path(store: Store, row: np.ndarray) -> Path:
    """The image whose name is a row of the array `SPLIT-paths`."""
    return images_of(store) / os.fsdecode(row.tobytes().rstrip(b"\0"))


def _index(split: str, files: Listed, root: Path) -> dict[str, np.ndarray]:
    """Paths as rows of bytes (n, width) uint8, sizes in bytes and labels (n,); an empty file and a pointer are
    `InvalidInput`."""
    sizes = [path.stat().st_size for path in files.paths]
    if 0 in sizes:
        raise InvalidInput(f"{files.paths[sizes.index(0)]}: is empty; fetch it again")
    for path, size in zip(files.paths, sizes, strict=True):
        if size < SMALLEST:
            check_no_pointer(path)
    names = np.array([os.fsencode(path.relative_to(root).as_posix()) for path in files.paths])
    return {
        f"{split}-paths": np.frombuffer(names.tobytes(), np.uint8).reshape(-1, names.dtype.itemsize),
        f"{split}-sizes": np.array(sizes, np.int64),
        f"{split}-labels": np.array(files.labels, np.int32),
    }


def random_window(path: Path, draws: np.ndarray, side: int) -> Tensor:
    """A random part of an image, resized to `side` pixels and mirrored half of the time: uint8 (3, side, side).

    8 to 100 % of its area, aspect 3/4 to 4/3 (Szegedy et al. 2015), clipped to the image where it does not fit.
    """
    from PIL import Image

    with rgb_image(path) as opened:
        area = opened.width * opened.height * (AREA[0] + draws[0] * (AREA[1] - AREA[0]))
        aspect = ASPECT[0] * (ASPECT[1] / ASPECT[0]) ** draws[1]
        width = min(opened.width, max(1, round((area * aspect) ** 0.5)))
        height = min(opened.height, max(1, round((area / aspect) ** 0.5)))
        left = int(draws[3] * (opened.width - width + 1))
        top = int(draws[2] * (opened.height - height + 1))
        box = (left, top, left + width, top + height)
        image = opened.resize((side, side), Image.Resampling.BILINEAR, box)
    pixels = np.asarray(image)
    return from_numpy((pixels[:, ::-1] if draws[4] < 0.5 else pixels).transpose(2, 0, 1).copy())


def middle(path: Path, side: int) -> Tensor:
    """The middle of an image whose shorter side is first resized to 256/224 of `side`: uint8 (3, side, side)."""
    from PIL import Image

    with rgb_image(path) as opened:
        scale = round(side * RESIZE) / min(opened.size)
        width, height = (max(side, round(length * scale)) for length in opened.size)
        image = opened.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    pixels = np.asarray(image.crop((left, top, left + side, top + side)))
    return from_numpy(pixels.transpose(2, 0, 1).copy())
