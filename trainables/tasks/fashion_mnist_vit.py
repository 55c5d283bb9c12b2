"""A small Vision Transformer on Fashion-MNIST."""

from torch import Tensor, nn

from trainables.models.vit import vision_transformer
from trainables.tasks.families.fashion import FashionTask
from trainables.tasks.families.small_images import TINY


class FashionMnistViT(FashionTask):
    """0.3 million parameters: 49 patches of 4x4 pixels, 6 layers of 64 dimensions."""

    name = "fashion-mnist-vit"
    layers = 6
    dim = 64
    heads = 4
    tiny = TINY | {"layers": 2, "dim": 32}

    def network(self) -> nn.Module:
        transformer = vision_transformer(
            side=28, patch=4, layers=self.layers, dim=self.dim, heads=self.heads, classes=self.classes
        )
        return nn.Sequential(InColour(), transformer)


class InColour(nn.Module):
    """Grey images (b, 1, h, w) as three equal channels, which torchvision's models take."""

    def forward(self, images: Tensor) -> Tensor:
        return images.expand(-1, 3, -1, -1)
