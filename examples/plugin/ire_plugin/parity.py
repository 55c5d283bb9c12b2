"""Whether the number of ones among eight bits is odd."""

import torch
from torch import nn

from ire.trial.seeds import generator
from trainables.task import Batch, Task


class Parity(Task):
    name = "parity"
    batch_size = 32

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 2))

    def train_batches(self, *, seed: int, start: int):
        step = start
        while True:
            yield self._batch(generator(seed, "order", step), self.batch_size)
            step += 1

    def eval_batches(self, split: str) -> list[Batch]:
        return [self._batch(generator(split), 256)]

    def _batch(self, draws: torch.Generator, size: int) -> Batch:
        bits = torch.randint(2, (size, 8), generator=draws)
        return bits.float(), bits.sum(1) % 2
