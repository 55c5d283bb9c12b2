"""WRN-16-8 on CIFAR-10 (Wang et al. 2024, Fig. 2 and Appendix C.1.1)."""

from torch import nn

from trainables.models.wide_resnet import WideResNet
from trainables.tasks.families.cifar import TINY, CifarTask


class Cifar10WideResNet16x8(CifarTask):
    """11.0 million parameters, crop and flip, batch 128."""

    name = "cifar10-wrn16-8"
    classes = 10
    depth = 16
    widening = 8
    tiny = TINY | {"depth": 10, "widening": 1}

    def network(self) -> nn.Module:
        return WideResNet(depth=self.depth, widening=self.widening, classes=self.classes)
