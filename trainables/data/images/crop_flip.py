"""The basic augmentation of CIFAR, on a whole batch at once and on any device."""

import torch
from torch import Tensor
from torch.nn import functional as F

DRAWS = 3  # uniform numbers per image: row, column, flip


def crop_and_flip(images: Tensor, draws: Tensor, *, padding: int = 4) -> Tensor:
    """A window of the images' own size, cut from the images padded with black, and mirrored half of the time.

    `images` (b, c, h, w) of any type, `draws` (b, 3) uniform in [0, 1): the row, the column, and the mirror.
    """
    count, channels, height, width = images.shape
    padded = F.pad(images, (padding,) * 4)
    top, left = (draws[:, :2] * (2 * padding + 1)).long().unbind(1)
    rows = top[:, None] + torch.arange(height, device=images.device)
    columns = left[:, None] + torch.arange(width, device=images.device)
    columns = torch.where(draws[:, 2:] < 0.5, columns.flip(1), columns)
    index = (rows * padded.shape[3])[:, :, None] + columns[:, None, :]
    flat = padded.flatten(2).gather(2, index.flatten(1)[:, None, :].expand(-1, channels, -1))
    return flat.view(count, channels, height, width)
