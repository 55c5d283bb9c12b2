"""What the workloads of Novack et al. 2023 share: CIFAR in batches of thousands, plain cross-entropy, their split.

A task of this family is a network and a few numbers: see `trainables/tasks/tasks.toml`.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

from trainables.data.images.image_batches import ImageSplits
from trainables.tasks.families.cifar import CifarTask
from trainables.tasks.families.small_images import TINY


class LargeBatchTask(CifarTask):
    """40,000 images to train on, 10,000 held out for validation, crop and flip; seven steps an epoch.

    The paper's CIFAR-10 runs choose their settings and their checkpoint on the test set, and report the held-out
    training images. `@original` exchanges the two splits; no checkpoint is chosen: results are of the last step.
    """

    tiny = TINY | {"batch_size": 192}  # five steps an epoch
    batch_size = 5120
    label_smoothing = 0.0
    validation_fraction = 0.2
    selects_on_test = False
    original: ClassVar[Mapping[str, Any]] = {"selects_on_test": True}

    @cached_property
    def splits(self) -> ImageSplits:
        """The images of train, validation and test; the last two exchanged where selection is on the test set."""
        found = super().splits
        if not self.selects_on_test:
            return found
        exchanged = {"train": "train", "validation": "test", "test": "validation"}
        return replace(
            found,
            **{
                field: {name: getattr(found, field)[source] for name, source in exchanged.items()}
                for field in ("images", "labels", "rows")
            },
        )
