"""Batches of images in memory: the examples and their random numbers are functions of (seed, t).

A training batch is (images, labels, draws): the examples as stored, and for each of them the random numbers that its
augmentation will use. So the augmentation, which runs on the device, is a function of the batch alone: two workers
with half a batch each augment their images exactly as one worker would.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ire.invalid_input import InvalidInput
from ire.trial.seeds import generator
from trainables.data.store import Store
from trainables.data.untyped import from_numpy

Batch = tuple[Tensor, ...]


@dataclass(frozen=True)
class ImageSplits:
    """Images (n, channels, height, width) uint8 and labels (n,), and which rows belong to each split."""

    images: dict[str, np.ndarray]
    labels: dict[str, Tensor]
    rows: dict[str, np.ndarray]
    """Rows of the source array that form a split; validation is held out of the training images."""

    def batch(self, split: str, picked: Tensor) -> Batch:
        """Images (b, ...) uint8 and labels (b,) int64 of the positions `picked` within a split."""
        rows = self.rows[split][picked.numpy()]
        return from_numpy(self.images[split][rows]), self.labels[split][rows]

    def size(self, split: str) -> int:
        return len(self.rows[split])


def hold_out(
    store: Store, what: str, *, fraction: float, seed: object, limit: int | None = None
) -> ImageSplits:
    """Splits of the arrays `train-WHAT`, `train-labels` and the same of `test`: a `fraction` of the training images is
    for validation, the test untouched.

    `seed` decides which, once for all trials. With `limit` only that many training images are used, and the same
    share of the others.
    """
    train, test = (
        (store.array(f"{split}-{what}"), store.array(f"{split}-labels")) for split in ("train", "test")
    )
    images = {"train": train[0], "validation": train[0], "test": test[0]}
    labels = {name: from_numpy(np.array(part[1])).long() for name, part in (("train", train), ("test", test))}
    labels["validation"] = labels["train"]
    validation = round(fraction * len(train[1]))
    order = torch.randperm(len(train[1]), generator=generator(seed)).numpy()
    held_out, kept = order[:validation], order[validation:]
    rows = {
        "train": kept,
        "validation": held_out,
        "test": torch.randperm(len(test[1]), generator=generator(seed, "test")).numpy(),
    }
    if limit is not None and limit < len(kept):
        share = limit / len(kept)
        rows = {name: part[: max(1, round(share * len(part)))] for name, part in rows.items()}
    return ImageSplits(images, labels, {name: np.sort(part) for name, part in rows.items()})


def epochs(splits: ImageSplits, *, batch_size: int, seed: int, start: int, draws: int) -> Iterator[Batch]:
    """The endless stream of training batches from step `start` on, `draws` uniform numbers per example.

    Every epoch has its own permutation; the examples that do not fill a batch are left out of it.
    """
    count = splits.size("train")
    steps = count // batch_size
    if steps == 0:
        raise InvalidInput(f"{count} training images do not fill one batch of {batch_size}")
    epoch, position = divmod(start, steps)
    while True:
        order = torch.randperm(count, generator=generator(seed, "order", epoch))
        for step in range(position, steps):
            images, labels = splits.batch("train", order[step * batch_size : (step + 1) * batch_size])
            uniform = torch.rand(
                (batch_size, draws), generator=generator(seed, "augmentation", epoch * steps + step)
            )
            yield images, labels, uniform
        epoch, position = epoch + 1, 0


def in_order(splits: ImageSplits, split: str, batch_size: int) -> Iterator[Batch]:
    """One pass over a split, in batches."""
    for picked in torch.split(torch.arange(splits.size(split)), batch_size):
        yield splits.batch(split, picked)
