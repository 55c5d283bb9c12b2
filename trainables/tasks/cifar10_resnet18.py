"""ResNet-18 on CIFAR-10 in batches of 5120 (Novack et al. 2023)."""

from torch import nn

from trainables.models.resnet18 import ResNet18
from trainables.tasks.families.large_batch import TINY_LARGE_BATCH, LargeBatchTask


class Cifar10ResNet18(LargeBatchTask):
    """11.2 million parameters, batch norm."""

    name = "cifar10-resnet18"
    classes = 10
    width = 64
    tiny = TINY_LARGE_BATCH | {"width": 4}

    def network(self) -> nn.Module:
        return ResNet18(classes=self.classes, width=self.width)
