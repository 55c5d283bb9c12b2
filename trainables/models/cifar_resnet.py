"""ResNets for 32x32 images (He et al. 2016, §4.2): three stages of 16, 32 and 64 channels, 6n + 2 layers.

Shortcuts between stages have no parameters (their option A), which gives ResNet-56 its 0.85 million.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from ire.invalid_input import InvalidInput


class Block(nn.Module):
    """Two 3x3 convolutions with batch norm; the shortcut drops pixels and pads channels with zeros."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.stride, self.added = stride, outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.stride == 1 else x[:, :, :: self.stride, :: self.stride]
        if self.added:
            before = self.added // 2
            shortcut = F.pad(shortcut, (0, 0, 0, 0, before, self.added - before))
        out = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(out)) + shortcut)


class CifarResNet(nn.Module):
    """ResNet of `depth` = 6n + 2 layers. Images (b, 3, h, w) to logits (b, classes)."""

    def __init__(self, *, depth: int, classes: int, width: int = 16) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise InvalidInput(f"depth = {depth}: must be 6n + 2: 8, 14, 20, 32, 44, 56 or 110")
        self.conv = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        blocks: list[nn.Module] = []
        channels = width
        for stage in range(3):
            for index in range((depth - 2) // 6):
                outputs = width << stage
                blocks.append(Block(channels, outputs, stride=2 if stage and index == 0 else 1))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        out = self.blocks(F.relu(self.norm(self.conv(images))))
        return self.head(out.mean((2, 3)))
