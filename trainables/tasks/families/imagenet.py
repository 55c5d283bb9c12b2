"""What the ImageNet tasks share: decoding in threads, augmentation on the device, top-5 accuracy."""

import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from trainables.data.images.image_batches import ImageSplits, epochs, hold_out, in_order
from trainables.data.images.imagenet import DRAWS, ImageNet, image_path, middle, random_window
from trainables.data.images.mix_up import mix_pairs, mixing_shares
from trainables.data.images.policies import rand_augment, rand_draws
from trainables.data.prefetch import ahead, mapped
from trainables.data.store import Store
from trainables.models.normalised import Normalised
from trainables.task import Batch, Task
from trainables.tasks.families.label_smoothing import smoothed_cross_entropy

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EVAL_BATCH = 250
AHEAD = 3  # batches


class ImageNetTask(Task):
    """Classification of photographs; 2 % of the training images are held out for validation."""

    side = 224
    statistics: ClassVar = {"mean": MEAN, "std": STD}
    """Mean and standard deviation of the training images per channel, for pixels in [0, 1]."""
    validation_fraction = 0.02
    label_smoothing = 0.0
    mix_up = 0.0
    """α of MixUp; 0 is off."""
    operations = 0
    """RandAugment's operations per image."""
    strength = 15
    """RandAugment's strength, of 31."""
    train_limit: int | None = None

    @property
    def data(self) -> ImageNet:
        return ImageNet()

    @abstractmethod
    def network(self, classes: int) -> nn.Module:
        """The network on normalised images (b, 3, side, side)."""

    @cached_property
    def splits(self) -> ImageSplits:
        """Paths, as rows of bytes, and labels of train, validation and test."""
        return hold_out(
            self.store,
            "paths",
            fraction=self.validation_fraction,
            seed=self.split_seed(self.data.name),
            limit=self.train_limit,
        )

    @cached_property
    def store(self) -> Store:
        return self.data.open(task=self.name)

    def model(self) -> nn.Module:
        return Normalised(self.network(len(self.store.facts["classes"])), **self.statistics)

    def train_batches(self, *, seed: int, start: int) -> Iterator[Batch]:
        chosen = self._chosen(seed, start)
        threads = _threads()
        return ahead(mapped(self._decoded, chosen, threads=threads, depth=AHEAD + threads), AHEAD)

    def _chosen(self, seed: int, start: int) -> Iterator[Batch]:
        draws = DRAWS + rand_draws(self.operations)
        stream = epochs(self.splits, batch_size=self.batch_size, seed=seed, start=start, draws=draws)
        for step, batch in enumerate(stream, start):
            yield *batch, mixing_shares(self.batch_size, self.mix_up or 1.0, seed, "mixing", step)

    def _decoded(self, batch: Batch) -> Batch:
        paths, labels, draws, share = batch
        images = [
            random_window(self._path(path), draw, self.side)
            for path, draw in zip(paths.numpy(), draws[:, :DRAWS].numpy(), strict=True)
        ]
        return torch.stack(images), labels, draws[:, DRAWS:], share

    def _path(self, row: np.ndarray) -> Path:
        return image_path(self.store, row)

    def prepared(self, batch: Batch) -> Batch:
        images, labels, draws, share = batch
        if self.operations:
            images = rand_augment(images, draws, strength=self.strength)
        if not self.mix_up:
            return images, labels
        mixed, partners, share = mix_pairs(images, labels, share)
        return mixed, labels, partners, share

    def eval_batches(self, split: str) -> Iterable[Batch]:
        threads = _threads()
        decode = partial(middle, side=self.side)
        for paths, labels in in_order(self.splits, split, EVAL_BATCH):
            files = (self._path(path) for path in paths.numpy())
            yield torch.stack(list(mapped(decode, files, threads=threads, depth=len(labels)))), labels

    def pictures(self, split: str, picked: Tensor) -> Tensor:
        """The images (b, 3, side, side) uint8 at these positions of a split, as they are evaluated."""
        paths, _ = self.splits.batch(split, picked)
        return torch.stack([middle(self._path(path), self.side) for path in paths.numpy()])

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        if len(batch) == 2:
            return smoothed_cross_entropy(outputs, batch[1], self.label_smoothing)
        _, labels, partners, share = batch
        both = [
            nn.functional.cross_entropy(outputs, targets, reduction="none") for targets in (labels, partners)
        ]
        return (share * both[0] + (1 - share) * both[1]).mean()

    def metric_sums(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        best = outputs.topk(min(5, outputs.shape[-1]), -1).indices
        sums = super().metric_sums(outputs, batch)
        return sums | {"top5_accuracy": (best == batch[1][:, None]).any(-1).sum()}


def _threads() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
