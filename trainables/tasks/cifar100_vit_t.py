"""ViT-T with patches of 4x4 pixels on CIFAR-100 (Wang et al. 2024, Table 3)."""

from trainables.tasks.cifar100_vit_s import Cifar100ViTS


class Cifar100ViTT(Cifar100ViTS):
    """5.4 million parameters; everything else as for ViT-S."""

    name = "cifar100-vit-t"
    dim = 192
    heads = 3
