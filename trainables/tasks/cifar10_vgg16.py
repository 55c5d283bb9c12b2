"""VGG-16 with batch norm on CIFAR-10 in batches of 5120 (Novack et al. 2023, their grafting experiments)."""

from torch import nn

from trainables.models.vgg import VGG16, Vgg
from trainables.tasks.families.large_batch import TINY_LARGE_BATCH, LargeBatchTask


class Cifar10Vgg16(LargeBatchTask):
    """134 million parameters, nearly all in torchvision's head of two hidden layers with dropout."""

    name = "cifar10-vgg16"
    classes = 10
    narrower, hidden = 1, 4096
    tiny = TINY_LARGE_BATCH | {"narrower": 16, "hidden": 16}

    def network(self) -> nn.Module:
        return Vgg(VGG16, classes=self.classes, batch_norm=True, hidden=self.hidden, narrower=self.narrower)
