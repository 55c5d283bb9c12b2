"""Handwritten digits, 8x8 pixels, bundled with scikit-learn: a real vision task that trains in a second."""

import gzip
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ire.trial.seeds import generator
from trainables.data.untyped import from_numpy
from trainables.task import Batch, Task

SIZES = {"train": 1077, "validation": 360, "test": 360}


class Digits(Task):
    """1,797 digits in ten classes, split 60/20/20, and a small convolutional network with batch norm."""

    name = "digits"
    batch_size = 64

    @cached_property
    def splits(self) -> dict[str, Batch]:
        """Images (n, 1, 8, 8) in [-1, 1] and labels (n,) of the three disjoint splits."""
        images, labels = bundled()
        images = images.float().unsqueeze(1) / 8 - 1
        order = torch.randperm(len(labels), generator=generator("digits", 0))
        if self.study:  # the test digits stay; the others are split again
            rest = order[: -SIZES["test"]]
            dealt = torch.randperm(len(rest), generator=generator("digits", "study", self.study))
            order = torch.cat([rest[dealt], order[-SIZES["test"] :]])
        parts = torch.split(order, list(SIZES.values()))
        return {name: (images[part], labels[part]) for name, part in zip(SIZES, parts, strict=True)}

    def data_identity(self) -> str:
        """A checksum of the digits that this release of scikit-learn bundles."""
        digest = hashlib.sha256()
        for part in bundled():
            digest.update(part.to(torch.uint8).numpy().tobytes())
        return f"digits sha256 {digest.hexdigest()[:16]}"

    def model(self) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 4 * 4, 10),
        )

    def train_batches(self, *, seed: int, start: int) -> Iterator[Batch]:
        images, labels = self.splits["train"]
        steps_per_epoch = len(labels) // self.batch_size
        epoch, position = divmod(start, steps_per_epoch)
        while True:
            order = torch.randperm(len(labels), generator=generator(seed, "order", epoch))
            for step in range(position, steps_per_epoch):
                picked = order[step * self.batch_size : (step + 1) * self.batch_size]
                yield images[picked], labels[picked]
            epoch, position = epoch + 1, 0

    def eval_batches(self, split: str) -> Iterable[Batch]:
        return [self.splits[split]]


@cache
def bundled() -> tuple[Tensor, Tensor]:
    """Images (1797, 8, 8) with values from 0 to 16, in double precision, and labels (1797,) int64."""
    scikit_learn = find_spec("sklearn")
    if scikit_learn is None or not scikit_learn.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
    # Only its file: importing the package takes each worker longer than a trial.
    folder = Path(scikit_learn.submodule_search_locations[0])
    with gzip.open(folder / "datasets" / "data" / "digits.csv.gz", "rt") as lines:
        table = from_numpy(np.loadtxt(lines, delimiter=","))
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1].long()
