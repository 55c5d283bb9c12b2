"""One way to open an image file: as 8-bit RGB, with its path in every error.

Pillow is imported when used.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ire.invalid_input import InvalidInput
from trainables.data.originals import check_no_pointer

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
"""Suffixes of the files that are read as images; other files are counted and named."""
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, MemoryError)
"""What Pillow raises for damaged files."""


@contextmanager
def rgb_image(path: Path, content: BinaryIO | None = None) -> Generator["Image", None, None]:
    """The image in `path`, or in `content` that has that name, as RGB of 8 bits; raises `InvalidInput`.

    Grey images of 16 bits are scaled to 8. A palette and CMYK are converted, transparent pixels become white. The
    first picture of an animation is used.
    """
    from PIL import Image

    try:
        with Image.open(path if content is None else content) as opened:
            image = _as_rgb(opened, path)
    except InvalidInput:
        raise
    except UNREADABLE as error:
        if content is None:
            check_no_pointer(path)
        raise InvalidInput(f"{path}: damaged, or not an image ({error or type(error).__name__})") from error
    except Image.DecompressionBombError as error:
        raise InvalidInput(f"{path}: too large to be a picture ({error})") from error
    yield image


def _as_rgb(opened: "Image", path: Path) -> "Image":
    from PIL import Image

    if opened.mode == "RGB" and "transparency" not in opened.info:
        opened.load()
        return opened.copy()
    if opened.mode.startswith("I"):  # grey values of 16 bits, which some formats store in 32
        values = np.asarray(opened).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise InvalidInput(
                f"{path}: grey values from {values.min()} to {values.max()}; must be of 8 or 16 bits"
            )
        return Image.fromarray(np.rint(values / 257).astype(np.uint8)).convert("RGB")
    if opened.mode == "F":
        raise InvalidInput(f"{path}: grey values that are fractions; convert it to 8 or 16 bits")
    if opened.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in opened.info:
        over = opened.convert("RGBA")
        white = Image.new("RGBA", over.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, over).convert("RGB")
    return opened.convert("RGB")
