"""ResNet-18 on CIFAR-100 in batches of 5120 (Novack et al. 2023)."""

from torch import nn

from trainables.models.resnet18 import ResNet18
from trainables.tasks.families.large_batch import NO_OTHER, TINY_LARGE_BATCH, LargeBatchTask


class Cifar100ResNet18(LargeBatchTask):
    """11.2 million parameters, batch norm. The paper, too, selects on held-out training images here."""

    name = "cifar100-resnet18"
    classes = 100
    width = 64
    original = NO_OTHER
    tiny = TINY_LARGE_BATCH | {"width": 4}

    def network(self) -> nn.Module:
        return ResNet18(classes=self.classes, width=self.width)
