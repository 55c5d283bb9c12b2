"""VGG-16 with batch norm on CIFAR-100 in batches of 5120 (Novack et al. 2023, their grafting experiments)."""

from torch import nn

from trainables.models.vgg import VGG16, Vgg
from trainables.tasks.families.large_batch import NO_OTHER, TINY_LARGE_BATCH, LargeBatchTask


class Cifar100Vgg16(LargeBatchTask):
    """134 million parameters, nearly all in torchvision's head of two hidden layers with dropout."""

    name = "cifar100-vgg16"
    classes = 100
    narrower, hidden = 1, 4096
    original = NO_OTHER
    tiny = TINY_LARGE_BATCH | {"narrower": 16, "hidden": 16}

    def network(self) -> nn.Module:
        return Vgg(VGG16, classes=self.classes, batch_norm=True, hidden=self.hidden, narrower=self.narrower)
