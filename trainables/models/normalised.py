"""The first layer of an image model: bytes in, numbers of mean 0 and variance 1 out."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalised(nn.Module):
    """`network` on images given as bytes (b, c, h, w), which are normalised by each channel's `mean` and `std`.

    Both refer to pixels in [0, 1]. Images are copied to the device as bytes, which is a quarter of the traffic.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, *, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1) * 255, persistent=False)
        self.register_buffer("scale", 1 / (torch.tensor(std).view(-1, 1, 1) * 255), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.network((images - self.mean) * self.scale)
