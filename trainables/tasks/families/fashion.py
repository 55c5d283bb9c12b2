"""What the Fashion-MNIST tasks share: real images, available offline as a Debian package."""

from collections.abc import Mapping, Sequence

from trainables.data.images.fashion_mnist import FashionMnist
from trainables.tasks.families.small_images import SmallImageTask


class FashionTask(SmallImageTask):
    """Classification of 28x28 grey images, shifted by at most two pixels and mirrored."""

    classes = 10
    padding = 2

    @property
    def statistics(self) -> Mapping[str, Sequence[float]]:
        return {"mean": (0.2860,), "std": (0.3530,)}

    @property
    def data(self) -> FashionMnist:
        return FashionMnist()
