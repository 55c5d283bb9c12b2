"""ResNet-50 on ImageNet (Wang et al. 2024, Table 2)."""

from typing import ClassVar

from torch import nn

from trainables.tasks.families.imagenet import ImageNetTask


class ImageNetResNet50(ImageNetTask):
    """25.6 million parameters, random windows and mirrors, label smoothing 0.1, batch 1024."""

    name = "imagenet-resnet50"
    batch_size = 1024
    label_smoothing = 0.1
    blocks = (3, 4, 6, 3)
    width = 64
    tiny: ClassVar = {"batch_size": 16, "train_limit": 320, "side": 64, "blocks": (1, 1, 1, 1), "width": 16}

    def network(self, classes: int) -> nn.Module:
        # Only where it is used: it must match torch's build.
        from torchvision.models.resnet import Bottleneck, ResNet  # pyright: ignore[reportMissingTypeStubs] - it has none

        return ResNet(Bottleneck, list(self.blocks), num_classes=classes, width_per_group=self.width)
