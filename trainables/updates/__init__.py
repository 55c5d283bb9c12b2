"""How one batch of a task becomes a step: the gradient of the whole batch, or a method of Novack et al. 2023.

`Training` asks the update of its method for this worker's parts of a batch, and lets it take a step with them.
"""

from trainables.updates.accumulated import Accumulated
from trainables.updates.small_batch import SmallBatch
from trainables.updates.update import Setup, Update
from trainables.updates.whole_batch import WholeBatch

__all__ = ["Setup", "Update", "build_update"]


def build_update(setup: Setup) -> Update:
    """The update of the trial's method; raises `InvalidInput` if its batch cannot be split as it needs."""
    name = setup.method.update
    kind = WholeBatch if name is None else SmallBatch if name == "small" else Accumulated
    return kind(setup)
