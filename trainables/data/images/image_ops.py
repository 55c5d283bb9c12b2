"""The image operations of AutoAugment and RandAugment, on whole batches with a magnitude for every image.

Each takes uint8 images (b, 3, h, w) and magnitudes (b,) and gives uint8 images; torchvision's functions of the same
names, one image at a time, are their reference in tests.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

FILL = 128
"""The pixels that rotation, shear and translation move in: grey, as in AutoAugment (Cubuk et al. 2019)."""

GREY = (0.2989, 0.587, 0.114)
Operation = Callable[[Tensor, Tensor], Tensor]


def identity(images: Tensor, _: Tensor) -> Tensor:
    return images


def invert(images: Tensor, _: Tensor) -> Tensor:
    return 255 - images


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the upper `bits` of every byte."""
    shift = (8 - bits.long()).to(torch.uint8)[:, None, None, None]
    return images >> shift << shift


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert values of at least `threshold`."""
    return torch.where(images >= threshold[:, None, None, None], 255 - images, images)


def autocontrast(images: Tensor, _: Tensor) -> Tensor:
    """Stretch every channel to 0 ... 255; a channel of one value is unchanged."""
    low = images.amin((2, 3), keepdim=True).float()
    high = images.amax((2, 3), keepdim=True).float()
    flat = low == high
    scale = torch.where(flat, 1.0, 255 / (high - low).clamp(min=1))
    return ((images - torch.where(flat, 0.0, low)) * scale).clamp(0, 255).to(torch.uint8)


def equalize(images: Tensor, _: Tensor) -> Tensor:
    """Flatten the histogram of every channel."""
    pixels = images.flatten(2).long()
    counts = torch.zeros(*pixels.shape[:2], 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(2, pixels, torch.ones_like(pixels))
    cumulative = counts.cumsum(2)
    brightest = counts.gather(2, pixels.amax(2, keepdim=True))  # how many pixels have the highest value
    step = (pixels.shape[2] - brightest) // 255
    table = ((cumulative + step // 2) // step.clamp(min=1)).clamp(0, 255)
    table = F.pad(table[..., :-1], (1, 0))
    return torch.where(step > 0, table.gather(2, pixels), pixels).to(torch.uint8).view_as(images)


def brightness(images: Tensor, change: Tensor) -> Tensor:
    return _blend(images, torch.zeros((), device=images.device), change)


def color(images: Tensor, change: Tensor) -> Tensor:
    return _blend(images, _grey(images), change)


def contrast(images: Tensor, change: Tensor) -> Tensor:
    return _blend(images, _grey(images).mean((1, 2, 3), keepdim=True), change)


def sharpness(images: Tensor, change: Tensor) -> Tensor:
    """Towards or away from a blur of 3x3 pixels; the border is unchanged."""
    kernel = _blur(images.device)
    blurred = images.float()
    inner = F.conv2d(blurred, kernel.expand(images.shape[1], 1, 3, 3), groups=images.shape[1]).round()
    blurred[..., 1:-1, 1:-1] = inner
    return _blend(images, blurred, change)


@cache
def _blur(device: torch.device) -> Tensor:
    kernel = torch.full((3, 3), 1 / 13, device=device)
    kernel[1, 1] = 5 / 13
    return kernel


def shear_x(images: Tensor, amount: Tensor) -> Tensor:
    """Along the rows, about the upper left corner."""
    return _sampled(images, (1, amount, 0, 0, 1, 0), corner=True)


def shear_y(images: Tensor, amount: Tensor) -> Tensor:
    return _sampled(images, (1, 0, 0, amount, 1, 0), corner=True)


def translate_x(images: Tensor, pixels: Tensor) -> Tensor:
    """To the right, by whole pixels."""
    return _sampled(images, (1, 0, -pixels.trunc(), 0, 1, 0))


def translate_y(images: Tensor, pixels: Tensor) -> Tensor:
    return _sampled(images, (1, 0, 0, 0, 1, -pixels.trunc()))


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Anticlockwise, about the centre."""
    angle = degrees.deg2rad()
    return _sampled(images, (angle.cos(), -angle.sin(), 0, angle.sin(), angle.cos(), 0))


OPERATIONS: dict[str, Operation] = {
    "Identity": identity,
    "ShearX": shear_x,
    "ShearY": shear_y,
    "TranslateX": translate_x,
    "TranslateY": translate_y,
    "Rotate": rotate,
    "Brightness": brightness,
    "Color": color,
    "Contrast": contrast,
    "Sharpness": sharpness,
    "Posterize": posterize,
    "Solarize": solarize,
    "AutoContrast": autocontrast,
    "Equalize": equalize,
    "Invert": invert,
}


def _blend(images: Tensor, other: Tensor, change: Tensor) -> Tensor:
    """`other` + (1 + change) (images - other)."""
    factor = 1 + change.float()[:, None, None, None]
    return (factor * images + (1 - factor) * other).clamp(0, 255).to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    return (images * _grey_weights(images.device)).sum(1, keepdim=True).floor()


@cache
def _grey_weights(device: torch.device) -> Tensor:
    """Cached, since copying numbers to a GPU waits for the GPU."""
    return torch.tensor(GREY, device=device)[:, None, None]


def _sampled(images: Tensor, matrix: tuple[Tensor | int, ...], *, corner: bool = False) -> Tensor:
    """The nearest pixel at a·x + b·y + c, d·x + e·y + f for every pixel x, y, `FILL` outside.

    Coordinates are of pixel centres, from the image's centre, or from its upper left corner.
    """
    count, channels, height, width = images.shape
    device = images.device
    a, b, c, d, e, f = (
        m.to(torch.float32).view(-1, 1, 1)
        if isinstance(m, Tensor)
        else torch.full((1, 1, 1), float(m), device=device)
        for m in matrix
    )
    y = torch.arange(height, device=device)[:, None] + (0.5 if corner else 0.5 - height / 2)
    x = torch.arange(width, device=device)[None, :] + (0.5 if corner else 0.5 - width / 2)
    column = (a * x + b * y + c - x[0, 0]).round().long().expand(count, height, width)
    row = (d * x + e * y + f - y[0, 0]).round().long().expand(count, height, width)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    index = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).flatten(1)
    found = images.flatten(2).gather(2, index[:, None].expand(-1, channels, -1)).view_as(images)
    return torch.where(inside[:, None], found, FILL)
