"""ViT-S with patches of 4x4 pixels on CIFAR-100 (Wang et al. 2024, Table 3)."""

from torch import nn

from trainables.models.vit import vision_transformer
from trainables.tasks.families.cifar import TINY, CifarTask


class Cifar100ViTS(CifarTask):
    """21.4 million parameters; crop, flip and AutoAugment with the CIFAR-10 policy, batch 64."""

    name = "cifar100-vit-s"
    classes = 100
    batch_size = 64
    auto_augment = True
    layers = 12
    dim = 384
    heads = 6
    tiny = TINY | {"layers": 2, "dim": 48, "heads": 3}

    def network(self) -> nn.Module:
        return vision_transformer(
            side=32, patch=4, layers=self.layers, dim=self.dim, heads=self.heads, classes=self.classes
        )
