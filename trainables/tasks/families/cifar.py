"""What every CIFAR task shares: the data, its statistics, label smoothing.

A task of this family is a network and a few numbers: see `trainables/tasks/tasks.toml`.
"""

from collections.abc import Mapping, Sequence

from trainables.data.images.cifar import Cifar
from trainables.tasks.families.small_images import TINY, SmallImageTask

STATISTICS = {
    10: {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2470, 0.2435, 0.2616)},
    100: {"mean": (0.5071, 0.4865, 0.4409), "std": (0.2673, 0.2564, 0.2762)},
}


class CifarTask(SmallImageTask):
    """Classification of 32x32 images in colour.

    The paper reports the test set, since it selects nothing; a sweep selects, so 5,000 of the 50,000 training images
    are held out.
    """

    tiny = TINY
    label_smoothing = 0.1  # Wang et al. 2024, Appendix C.1

    @property
    def statistics(self) -> Mapping[str, Sequence[float]]:
        return STATISTICS[self.classes]

    @property
    def data(self) -> Cifar:
        return Cifar(self.classes)
