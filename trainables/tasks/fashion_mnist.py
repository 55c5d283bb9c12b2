"""A small convolutional network on Fashion-MNIST: a real task that a laptop can finish."""

from torch import nn

from trainables.tasks.families.fashion import FashionTask
from trainables.tasks.families.small_images import TINY


class FashionMnistCnn(FashionTask):
    """0.1 million parameters, batch norm; the spatial resolution is halved twice."""

    name = "fashion-mnist"
    width = 32
    tiny = TINY | {"width": 8}

    def network(self) -> nn.Module:
        layers: list[nn.Module] = []
        channels = 1
        for width, stride in ((self.width, 1), (2 * self.width, 2), (2 * self.width, 2)):
            layers += [
                nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            channels = width
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * 7 * 7, self.classes))
