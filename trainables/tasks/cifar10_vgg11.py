"""VGG-11 without batch norm on CIFAR-10 in batches of 5000 (Novack et al. 2023): no statistics shared in a batch."""

from torch import nn

from trainables.models.vgg import VGG11, Vgg
from trainables.tasks.families.large_batch import TINY_LARGE_BATCH, LargeBatchTask


class Cifar10Vgg11(LargeBatchTask):
    """9.2 million parameters, neither batch norm nor dropout, a linear head."""

    name = "cifar10-vgg11"
    batch_size = 5000  # whole in the micro-batches of 50 to 2500 that the paper varies
    classes = 10
    narrower = 1
    tiny = TINY_LARGE_BATCH | {"narrower": 16}

    def network(self) -> nn.Module:
        return Vgg(VGG11, classes=self.classes, batch_norm=False, narrower=self.narrower)
