"""WRN-28-10 on CIFAR-10 (Wang et al. 2024, Table 1 and Appendix C.1.2)."""

from torch import nn

from trainables.models.wide_resnet import WideResNet
from trainables.tasks.families.cifar import TINY, CifarTask


class Cifar10WideResNet28x10(CifarTask):
    """36.5 million parameters, crop and flip, batch 128."""

    name = "cifar10-wrn28-10"
    classes = 10
    depth = 28
    widening = 10
    tiny = TINY | {"depth": 10, "widening": 1}

    def network(self) -> nn.Module:
        return WideResNet(depth=self.depth, widening=self.widening, classes=self.classes)
