"""How one batch of a task becomes a step: the gradient of the whole batch, or a method of Novack et al. 2023.

`Training` asks the update of its method for this worker's parts of a batch, and then to advance by them.
"""

from typing import TYPE_CHECKING

from trainables.updates.accumulated import Accumulated
from trainables.updates.small_batch import SmallBatch
from trainables.updates.update import Update
from trainables.updates.whole_batch import WholeBatch

if TYPE_CHECKING:
    from trainables.training import Training

__all__ = ["Update", "build_update"]


def build_update(training: "Training") -> Update:
    """The update of the training's method; raises `InvalidInput` if its batch cannot be split as it needs."""
    name = training.method.update
    kind = WholeBatch if name is None else SmallBatch if name == "small" else Accumulated
    return kind(training)
