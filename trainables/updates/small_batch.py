"""Small-batch SGD at the cost of a large batch: one optimizer step for each micro-batch.

One step of the task is then several of the optimizer, so that horizon, schedule, rungs and reports stand for the same
data and the same work in every method. The learning rate is constant within a step of the task.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ire.invalid_input import InvalidInput
from trainables.task import Batch
from trainables.updates.micro_batches import check_split, shared_micro_batches, weights
from trainables.updates.update import Setup, Update, norm


class SmallBatch(Update):
    """θ ← θ − η ∇L_M(θ) for the micro-batches M of the batch, one after another (`Vanilla`).

    With several workers each holds a part of every micro-batch.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._micro_batch = setup.settings["micro_batch"]
        check_accumulation(setup)
        check_split(
            setup.method.name,
            batch_size=setup.task.batch_size,
            micro_batch=self._micro_batch,
            world_size=setup.world_size,
            whole=False,
        )
        self._weights = weights(setup.task.batch_size, self._micro_batch)

    def parts(self, batch: Batch) -> list[Batch]:
        t = self.setup
        return shared_micro_batches(batch, self._micro_batch, rank=t.rank, world_size=t.world_size)

    def take(self, parts: list[Batch]) -> Tensor:
        t = self.setup
        total = torch.zeros((), device=t.device)
        norms: list[Tensor] = []
        mean: Sequence[Tensor] = ()
        for weight, batch in zip(self._weights, parts, strict=True):
            total += weight * self.step_optimizer(lambda batch=batch: self._gradient(batch, norms))
            self.gradients += weight
            if self.is_watched:
                gradient = [_gradient(p) for p in self.parameters]
                scaled = torch._foreach_mul(gradient, weight)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
                mean = torch._foreach_add(mean, scaled) if mean else scaled  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
        if mean:
            self.measure("grad_norm", norm(mean))
            self.measure("micro_grad_norm", torch.stack(norms).mean())
        return total

    def _gradient(self, batch: Batch, norms: list[Tensor]) -> Tensor:
        """Set `grad` to the clipped gradient of one micro-batch, the mean over workers; returns the loss."""
        t = self.setup
        self.clear()
        with t.autocast():
            loss = t.objective(batch)
        loss.backward()
        if self.is_watched:
            norms.append(norm([p.grad for p in self.parameters]))
        self.clip()
        return loss.detach()


def _gradient(p: Tensor) -> Tensor:
    return torch.zeros_like(p) if p.grad is None else p.grad


def check_accumulation(setup: Setup) -> None:
    """Raise `InvalidInput` for `spec.micro_batches` with a method that has its own micro-batches."""
    if setup.spec.micro_batches > 1:
        raise InvalidInput(
            f"--micro-batches {setup.spec.micro_batches}: {setup.method.name} already splits a batch into "
            f"micro-batches; set micro_batch, now {setup.settings['micro_batch']} examples, instead"
        )
