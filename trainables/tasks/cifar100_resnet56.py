"""ResNet-56 on CIFAR-100 (Wang et al. 2024, Table 1 and Appendix C.1.2)."""

from torch import nn

from trainables.models.cifar_resnet import CifarResNet
from trainables.tasks.families.cifar import TINY, CifarTask


class Cifar100ResNet56(CifarTask):
    """0.86 million parameters, crop and flip, batch 128."""

    name = "cifar100-resnet56"
    classes = 100
    depth = 56
    tiny = TINY | {"depth": 8}

    def network(self) -> nn.Module:
        return CifarResNet(depth=self.depth, classes=self.classes)
