"""ImageNet-1k (Russakovsky et al. 2015), or any folder of images in that layout, as a list of files.

The images stay where they are, `train/CLASS/*.JPEG` and `val/CLASS/*.JPEG`; what is prepared is an index of them, so
that training starts without walking a million files.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ire.invalid_input import InvalidInput
from trainables.data.dataset import DataSet, Say
from trainables.data.store import Store, write_store

SUFFIXES = (".jpeg", ".jpg", ".png")
DRAWS = 5  # uniform numbers an image: area, aspect, row, column, mirror
AREA = (0.08, 1.0)
ASPECT = (3 / 4, 4 / 3)
RESIZE = 256 / 224
"""Shorter side of an evaluated image, as a multiple of the window that is cut out of its middle."""


class ImageNet(DataSet):
    """The files of `train` and `test` (the official validation set) and their labels."""

    name = "imagenet"
    accepts = "a folder of images in ImageNet's layout: train/CLASS/*.JPEG and val/CLASS/*.JPEG"

    def convert(self, source: Path, say: Say) -> Store:
        if not ((source / "train").is_dir() and (source / "val").is_dir()):
            raise InvalidInput(f"--from {str(source)!r}: has no train/ and val/; takes {self.accepts}")
        classes = sorted(path.name for path in (source / "train").iterdir() if path.is_dir())
        arrays: dict[str, np.ndarray] = {}
        for split, folder in (("train", "train"), ("test", "val")):
            paths, labels = [], []
            for label, name in enumerate(classes):
                found = [
                    path
                    for path in sorted((source / folder / name).glob("*"))
                    if path.suffix.lower() in SUFFIXES
                ]
                paths += [str(path.relative_to(source)) for path in found]
                labels += [label] * len(found)
            if not paths:
                raise InvalidInput(f"--from {str(source)!r}: no images in {folder}/; takes {self.accepts}")
            say(f"{len(paths)} images of {len(classes)} classes in {source / folder}")
            arrays[f"{split}-paths"] = np.array([path.encode() for path in paths])
            arrays[f"{split}-labels"] = np.array(labels, np.int32)
        for name in ("train-paths", "test-paths"):  # fixed-width bytes, as numbers
            width = arrays[name].dtype.itemsize
            arrays[name] = np.frombuffer(arrays[name].tobytes(), np.uint8).reshape(-1, width)
        return write_store(self.folder, arrays, classes=classes, root=str(source.resolve()))

    def download(self, into: Path, say: Say) -> Path:
        raise InvalidInput(
            "ImageNet cannot be downloaded without its licence: get it at image-net.org and give --from FOLDER, "
            f"{self.accepts}"
        )


def random_window(path: Path, draws: np.ndarray, side: int) -> Tensor:
    """A random part of an image, resized to `side` pixels and mirrored half of the time: uint8 (3, side, side).

    8 to 100 % of its area, aspect 3/4 to 4/3 (Szegedy et al. 2015), cut to the image where it would not fit.
    """
    from PIL import Image

    with Image.open(path) as opened:
        area = opened.width * opened.height * (AREA[0] + draws[0] * (AREA[1] - AREA[0]))
        aspect = ASPECT[0] * (ASPECT[1] / ASPECT[0]) ** draws[1]
        width = min(opened.width, max(1, round((area * aspect) ** 0.5)))
        height = min(opened.height, max(1, round((area / aspect) ** 0.5)))
        left = int(draws[3] * (opened.width - width + 1))
        top = int(draws[2] * (opened.height - height + 1))
        box = (left, top, left + width, top + height)
        image = opened.convert("RGB").resize((side, side), Image.Resampling.BILINEAR, box)
    pixels = np.asarray(image)
    return torch.from_numpy((pixels[:, ::-1] if draws[4] < 0.5 else pixels).transpose(2, 0, 1).copy())


def middle(path: Path, side: int) -> Tensor:
    """The middle of an image whose shorter side is first resized to 256/224 of `side`: uint8 (3, side, side)."""
    from PIL import Image

    with Image.open(path) as opened:
        scale = round(side * RESIZE) / min(opened.size)
        size = tuple(max(side, round(length * scale)) for length in opened.size)
        image = opened.convert("RGB").resize(size, Image.Resampling.BILINEAR)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    pixels = np.asarray(image.crop((left, top, left + side, top + side)))
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())
