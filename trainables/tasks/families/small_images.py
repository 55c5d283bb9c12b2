"""What tasks on small images share: the data in memory, its augmentation on the device, label smoothing."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from torch import Tensor, nn

from trainables.data.dataset import DataSet
from trainables.data.images.crop_flip import DRAWS, crop_and_flip
from trainables.data.images.image_batches import ImageSplits, epochs, hold_out, in_order
from trainables.data.images.policies import AUTO_DRAWS, auto_augment
from trainables.models.normalised import Normalised
from trainables.task import Batch, Task
from trainables.tasks.families.label_smoothing import smoothed_cross_entropy

EVAL_BATCH = 500


class SmallImageTask(Task):
    """Classification of images that fit into memory: accuracy, and the loss in nats.

    A tenth of the training images is held out for validation, the same in every trial of a study. Only confirm runs
    read the test images.
    """

    classes: ClassVar[int]
    batch_size = 128
    label_smoothing = 0.0
    padding = 4
    """The maximum shift of an image, in pixels."""
    auto_augment = False
    validation_fraction = 0.1
    train_limit: int | None = None
    """Use only this many training images, and the same share of the others."""

    @property
    @abstractmethod
    def statistics(self) -> Mapping[str, Sequence[float]]:
        """`mean` and `std` of the training images per channel, for pixels in [0, 1]."""

    @property
    @abstractmethod
    def data(self) -> DataSet:
        """Arrays `train-images` (n, channels, side, side) uint8 and `train-labels` (n,), and the same of `test`."""

    @abstractmethod
    def network(self) -> nn.Module:
        """The network on normalised images (b, channels, side, side)."""

    @cached_property
    def splits(self) -> ImageSplits:
        """The images of train, validation and test."""
        return hold_out(
            self.data.open(task=self.name),
            "images",
            fraction=self.validation_fraction,
            seed=self.split_seed(self.data.name),
            limit=self.train_limit,
        )

    def model(self) -> nn.Module:
        return Normalised(self.network(), **self.statistics)

    def train_batches(self, *, seed: int, start: int) -> Iterator[Batch]:
        draws = DRAWS + (AUTO_DRAWS if self.auto_augment else 0)
        return epochs(self.splits, batch_size=self.batch_size, seed=seed, start=start, draws=draws)

    def prepared(self, batch: Batch) -> Batch:
        images, labels, draws = batch
        images = crop_and_flip(images, draws[:, :DRAWS], padding=self.padding)
        if self.auto_augment:
            images = auto_augment(images, draws[:, DRAWS:])
        return images, labels

    def eval_batches(self, split: str) -> Iterable[Batch]:
        return in_order(self.splits, split, EVAL_BATCH)

    def pictures(self, split: str, picked: Tensor) -> Tensor:
        """The images (b, channels, side, side) uint8 at these positions of a split, as they are evaluated."""
        return self.splits.batch(split, picked)[0]

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return smoothed_cross_entropy(outputs, batch[1], self.label_smoothing)


TINY: dict[str, Any] = {"batch_size": 32, "train_limit": 960}
"""What the scaled-down twins of the family share: 30 steps an epoch."""
