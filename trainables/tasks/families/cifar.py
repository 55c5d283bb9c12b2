"""What every CIFAR task shares: the data in memory, its augmentation on the device, label smoothing.

A task of this family is a network and a few numbers: see `trainables/tasks/cifar10_resnet56.py`.
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar

from torch import Tensor, nn

from trainables.data.images.cifar import Cifar
from trainables.data.images.crop_flip import DRAWS, crop_and_flip
from trainables.data.images.image_batches import ImageSplits, epochs, hold_out, in_order
from trainables.data.images.policies import AUTO_DRAWS, auto_augment
from trainables.models.normalised import Normalised
from trainables.task import Batch, Task
from trainables.tasks.families.label_smoothing import smoothed_cross_entropy

# of the training images, pixels in [0, 1]
STATISTICS = {
    10: {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2470, 0.2435, 0.2616)},
    100: {"mean": (0.5071, 0.4865, 0.4409), "std": (0.2673, 0.2564, 0.2762)},
}
EVAL_BATCH = 500


class CifarTask(Task):
    """Classification of 32x32 images: accuracy, and the loss in nats.

    A tenth of the 50,000 training images is held out for validation, the same in every trial: the paper selects
    nothing and reports the test set; a sweep must not. The test images are read in confirm runs only.
    """

    classes: ClassVar[int]
    batch_size = 128
    label_smoothing = 0.1  # Wang et al. 2024, Appendix C.1
    auto_augment = False
    validation_fraction = 0.1
    train_limit: int | None = None
    """Use so many training images only, and the same share of the others."""

    @property
    def data(self) -> Cifar:
        return Cifar(self.classes)

    @abstractmethod
    def network(self) -> nn.Module:
        """The network on normalised images (b, 3, 32, 32)."""

    @cached_property
    def splits(self) -> ImageSplits:
        """The images of train, validation and test."""
        store = self.data.open(task=self.name)
        train, test = (
            (store.array(f"{split}-images"), store.array(f"{split}-labels")) for split in ("train", "test")
        )
        return hold_out(
            train,
            test,
            fraction=self.validation_fraction,
            seed=self.split_seed(self.data.name),
            limit=self.train_limit,
        )

    def model(self) -> nn.Module:
        return Normalised(self.network(), **STATISTICS[self.classes])

    def train_batches(self, *, seed: int, start: int) -> Iterator[Batch]:
        draws = DRAWS + (AUTO_DRAWS if self.auto_augment else 0)
        return epochs(self.splits, batch_size=self.batch_size, seed=seed, start=start, draws=draws)

    def prepared(self, batch: Batch) -> Batch:
        images, labels, draws = batch
        images = crop_and_flip(images, draws[:, :DRAWS])
        if self.auto_augment:
            images = auto_augment(images, draws[:, DRAWS:])
        return images, labels

    def eval_batches(self, split: str) -> Iterable[Batch]:
        return in_order(self.splits, split, EVAL_BATCH)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return smoothed_cross_entropy(outputs, batch[1], self.label_smoothing)


TINY: Mapping[str, Any] = {"batch_size": 32, "train_limit": 960}
"""What the scaled-down twins of the family share: 30 steps an epoch."""
