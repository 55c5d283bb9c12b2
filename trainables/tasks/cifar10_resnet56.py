"""ResNet-56 on CIFAR-10 (Wang et al. 2024, Table 1 and Appendix C.1.2)."""

from torch import nn

from trainables.models.cifar_resnet import CifarResNet
from trainables.tasks.families.cifar import TINY, CifarTask


class Cifar10ResNet56(CifarTask):
    """0.85 million parameters, crop and flip, batch 128."""

    name = "cifar10-resnet56"
    classes = 10
    depth = 56
    tiny = TINY | {"depth": 8}

    def network(self) -> nn.Module:
        return CifarResNet(depth=self.depth, classes=self.classes)
