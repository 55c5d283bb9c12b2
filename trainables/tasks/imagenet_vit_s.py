"""ViT-S/16 on ImageNet (Wang et al. 2024, Table 4)."""

from typing import ClassVar

from torch import nn

from trainables.models.vit import vision_transformer
from trainables.tasks.families.imagenet import ImageNetTask


class ImageNetViTS(ImageNetTask):
    """22 million parameters, MixUp with α = 0.5, RandAugment(2, 15), batch 4096."""

    name = "imagenet-vit-s"
    batch_size = 4096
    mix_up = 0.5
    operations = 2
    layers = 12
    dim = 384
    heads = 6
    patch = 16
    tiny: ClassVar = {
        "batch_size": 16,
        "train_limit": 320,
        "side": 32,
        "patch": 8,
        "layers": 2,
        "dim": 48,
        "heads": 3,
    }

    def network(self, classes: int) -> nn.Module:
        return vision_transformer(
            side=self.side,
            patch=self.patch,
            layers=self.layers,
            dim=self.dim,
            heads=self.heads,
            classes=classes,
        )
