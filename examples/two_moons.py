"""A task of your own: two interleaved half circles. Its search space is two_moons.toml, beside it.

ire train two_moons:TwoMoons sgd-ire
ire sweep two_moons:TwoMoons --trials 8
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ire.trial.seeds import generator
from trainables.task import Task


class TwoMoons(Task):
    """Two classes of points in the plane; cross-entropy and accuracy are the defaults of a task."""

    name = "two_moons"
    batch_size = 64

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))

    def train_batches(self, *, seed: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        step = start
        while True:  # batch t depends on the seed and t, on nothing else: that makes a resume exact
            yield moons(self.batch_size, generator(seed, "batch", step))
            step += 1

    def eval_batches(self, split: str) -> list[tuple[Tensor, Tensor]]:
        return [moons(1000, generator("two moons", split))]


def moons(count: int, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points (count, 2) and their classes (count,)."""
    labels = torch.randint(2, (count,), generator=draws)
    angle = torch.pi * torch.rand(count, generator=draws)
    upper = torch.stack([angle.cos(), angle.sin()], dim=1)
    lower = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], dim=1)
    noise = 0.1 * torch.randn(count, 2, generator=draws)
    return torch.where(labels[:, None] == 0, upper, lower) + noise, labels
