"""WRN-28-10 on CIFAR-100 (Wang et al. 2024, Table 1 and Appendix C.1.2)."""

from torch import nn

from trainables.models.wide_resnet import WideResNet
from trainables.tasks.families.cifar import TINY, CifarTask


class Cifar100WideResNet28x10(CifarTask):
    """36.5 million parameters, crop and flip, batch 128."""

    name = "cifar100-wrn28-10"
    classes = 100
    depth = 28
    widening = 10
    tiny = TINY | {"depth": 10, "widening": 1}

    def network(self) -> nn.Module:
        return WideResNet(depth=self.depth, widening=self.widening, classes=self.classes)
