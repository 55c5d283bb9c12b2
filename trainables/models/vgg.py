"""VGG (Simonyan and Zisserman, 2015) for 32x32 images: 3x3 convolutions, with or without batch norm."""

from collections.abc import Sequence

from torch import Tensor, nn

POOL = 0
"""Stands for 2x2 max pooling in a list of channels."""
VGG11 = (64, POOL, 128, POOL, 256, 256, POOL, 512, 512, POOL, 512, 512, POOL)
VGG16 = (64, 64, POOL, 128, 128, POOL, *(256,) * 3, POOL, *(512,) * 3, POOL, *(512,) * 3, POOL)


def vgg11(*, classes: int, narrower: int = 1) -> "Vgg":
    """Neither batch norm nor dropout, and a linear head."""
    return Vgg(VGG11, classes=classes, batch_norm=False, narrower=narrower)


def vgg16(*, classes: int, hidden: int, narrower: int = 1) -> "Vgg":
    """With batch norm, and torchvision's head of two hidden layers with dropout."""
    return Vgg(VGG16, classes=classes, batch_norm=True, hidden=hidden, narrower=narrower)


class Vgg(nn.Module):
    """Images (b, 3, 32, 32) to logits (b, classes).

    `channels` lists the convolutions and poolings, divided by `narrower`. With `hidden` units, head and initialisation
    are those of torchvision: 7x7 pooling, two hidden layers with dropout; without, the head is linear and torch
    initialises it.
    """

    def __init__(
        self,
        channels: Sequence[int],
        *,
        classes: int,
        batch_norm: bool,
        hidden: int = 0,
        dropout: float = 0.5,
        narrower: int = 1,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for width in channels:
            if width == POOL:
                layers.append(nn.MaxPool2d(2))
                continue
            layers.append(nn.Conv2d(inputs, width // narrower, 3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(width // narrower))
            layers.append(nn.ReLU(inplace=True))
            inputs = width // narrower
        self.features = nn.Sequential(*layers)
        self.pool: nn.Module = nn.AdaptiveAvgPool2d(7) if hidden else nn.Identity()
        if not hidden:
            self.head: nn.Module = nn.Linear(inputs, classes)
            return
        self.head = nn.Sequential(
            nn.Linear(inputs * 49, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, classes),
        )
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.pool(self.features(images)).flatten(1))


def _initialise(module: nn.Module) -> None:
    """He et al. 2015 for convolutions, small normal numbers for the head, biases zero."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
    if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
