"""Wide residual networks (Zagoruyko and Komodakis, 2016): pre-activation blocks, k times wider, no dropout."""

from torch import Tensor, nn
from torch.nn import functional as F

from ire.invalid_input import InvalidInput


class Block(nn.Module):
    """Batch norm and ReLU before each of two 3x3 convolutions; a 1x1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = None if inputs == outputs else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.norm1(x))
        shortcut = x if self.shortcut is None else self.shortcut(out)
        return self.conv2(F.relu(self.norm2(self.conv1(out)))) + shortcut


class WideResNet(nn.Module):
    """WRN-`depth`-`widening`, depth = 6n + 4. Images (b, 3, h, w) to logits (b, classes)."""

    def __init__(self, *, depth: int, widening: int, classes: int) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise InvalidInput(f"depth = {depth}: must be 6n + 4: 10, 16, 22, 28 or 40")
        self.conv = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        blocks: list[nn.Module] = []
        channels = 16
        for stage in range(3):
            for index in range((depth - 4) // 6):
                outputs = (16 << stage) * widening
                blocks.append(Block(channels, outputs, stride=2 if stage and index == 0 else 1))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        out = F.relu(self.norm(self.blocks(self.conv(images))))
        return self.head(out.mean((2, 3)))
