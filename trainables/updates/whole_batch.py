"""The default update: one optimizer step along the gradient of the whole batch."""

import torch
from torch import Tensor

from ire.invalid_input import InvalidInput
from ire.methods.composed import Method
from trainables.data.batch import Batch, chunk, cut
from trainables.updates.update import Setup, Update


def no_closure(method: Method) -> InvalidInput:
    """The error for an optimizer that takes a step without a gradient."""
    return InvalidInput(
        f"{method.label} took a step without evaluating its closure: step(closure) must call it"
    )


class WholeBatch(Update):
    """`spec.micro_batches` parts, to save memory: their mean gradient is that of the batch."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        task, spec = setup.task, setup.spec
        if task.batch_size % (setup.world_size * spec.micro_batches):
            raise InvalidInput(
                f"{spec.task}: its batch of {task.batch_size} examples cannot be split evenly over "
                f"{setup.world_size} workers x {spec.micro_batches} micro-batches"
            )

    def parts(self, batch: Batch) -> list[Batch]:
        """This worker's contiguous part of a batch, in micro-batches."""
        t = self.setup
        size = t.task.batch_size // t.world_size
        mine = cut(batch, t.rank * size, (t.rank + 1) * size)
        return chunk(mine, t.spec.micro_batches)

    def take(self, parts: list[Batch]) -> Tensor:
        losses: list[Tensor] = []

        def closure() -> Tensor:
            with torch.enable_grad():  # not every optimizer does
                losses.append(self._gradient(parts))
            return losses[-1]

        self.step_optimizer(closure)
        if not losses:
            raise no_closure(self.setup.method)
        return losses[0]

    def _gradient(self, parts: list[Batch]) -> Tensor:
        """Set `grad` to the clipped gradient of the training loss; returns the loss, detached."""
        t = self.setup
        self.gradients += 1
        self.clear()
        losses: list[Tensor] = []
        for index, batch in enumerate(parts):
            with t.reduce_on_last(index, parts):
                with t.autocast():
                    loss = t.objective(batch) / len(parts)
                loss.backward()
            losses.append(loss.detach())
        total = self.clip()
        if self.is_watched and total is not None:
            self.measure("grad_norm", total)
        return sum(losses[1:], start=losses[0])
