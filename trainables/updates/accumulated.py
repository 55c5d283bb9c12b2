"""Large-batch SGD by accumulation, with the additions of Novack et al. 2023: a penalty, or a prescribed length.

Each micro-batch is a forward pass of its own, so batch norm normalises by its statistics alone (ghost batch norm) and
its running statistics are updated once for each.
"""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from ire.trial.seeds import generator
from trainables.penalties import SCALARS, MicroBatch, differentiable_twice, penalized_gradient
from trainables.task import Batch
from trainables.updates.lengths import prescribed_length, rescaled
from trainables.updates.micro_batches import check_split, weights, whole_micro_batches
from trainables.updates.small_batch import check_accumulation
from trainables.updates.update import Setup, Update, norm
from trainables.updates.workers import mean_over_workers, sum_over_workers


class Accumulated(Update):
    """g = mean over the micro-batches M of ∇(L_M + λ‖∇s_M‖²); a graft then gives g another length.

    Gradients are taken of the bare model and averaged over workers here: `DistributedDataParallel` only reduces in
    `backward()`, and of two passes it would only reduce the first. Each micro-batch is on one worker.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        method, batch_size = setup.method, setup.task.batch_size
        self._micro_batch = setup.settings["micro_batch"]
        check_accumulation(setup)
        check_split(
            method.name,
            batch_size=batch_size,
            micro_batch=self._micro_batch,
            world_size=setup.world_size,
            whole=True,
        )
        self._weights = weights(batch_size, self._micro_batch)
        self._lambda = setup.settings.get("lambda", 0.0)
        assert method.update is not None, "the whole batch has its own update"
        self._scalar = SCALARS[method.update] if self._lambda else None
        self._length = prescribed_length(method.update, setup.settings, setup.spec)
        self._first = 0  # the number of this worker's first micro-batch

    def parts(self, batch: Batch) -> list[Batch]:
        t = self.setup
        self._first, mine = whole_micro_batches(
            batch, self._micro_batch, rank=t.rank, world_size=t.world_size
        )
        return mine

    def labels_of(self, index: int) -> tuple[int, int, int]:
        return self._first + index, 0, 1  # every worker has its own, whole micro-batches

    def take(self, parts: list[Batch]) -> Tensor:
        return self.step_optimizer(lambda: self._gradient(parts))

    def _gradient(self, parts: list[Batch]) -> Tensor:
        """Set `grad` to what the method steps along, clipped; returns the loss, detached."""
        t = self.setup
        self.gradients += 1 if self._scalar is None else 3  # a product with second derivatives counts as two
        total: list[Tensor | None] = [None] * len(self.parameters)
        loss = torch.zeros((), device=t.device)
        norms = torch.zeros(len(self._weights), device=t.device)
        penalty = torch.zeros((), device=t.device)
        for number, batch in enumerate(parts, start=self._first):
            weight = self._weights[number]
            micro_loss, gradient, micro_penalty = self._micro_gradient(number, batch, norms)
            loss += weight * t.world_size * micro_loss  # of this worker's share
            penalty += weight * micro_penalty
            _add(total, gradient, weight * t.world_size)
        mean_over_workers(total, t.world_size)
        if self._length is not None or self.is_watched:
            sum_over_workers(norms, t.world_size)  # each worker knows its own
        if self.is_watched:
            self.measure("grad_norm", norm(total))
            self.measure("micro_grad_norm", norms.mean())
            if self._scalar is not None:
                self.measure("penalty", sum_over_workers(penalty, t.world_size))
        if self._length is not None:
            total = rescaled(total, self._length(self.step, norms))
        for p, gradient in zip(self.parameters, total, strict=True):
            p.grad = gradient
        self.clip()
        return loss

    def _micro_gradient(
        self, number: int, batch: Batch, norms: Tensor
    ) -> tuple[Tensor, Sequence[Tensor | None], Tensor | float]:
        """Loss, gradient and penalty of one micro-batch; writes ‖∇L_M‖ to `norms` if it is needed."""
        t, scalar = self.setup, None
        with t.autocast(), nullcontext() if self._scalar is None else differentiable_twice():
            outputs = t.task.outputs(t.model, batch)
            loss = t.task.loss(outputs, batch)
            if self._scalar is not None:
                draws = generator(t.spec.seed, "penalty", self.step, number)
                scalar = self._scalar(
                    MicroBatch(task=t.task, batch=batch, outputs=outputs, loss=loss, generator=draws)
                )
        if scalar is None:
            gradient = torch.autograd.grad(loss, self.parameters, allow_unused=True)
            if self.is_watched or (
                self._length is not None and self._length.asks(self.step, number, len(norms))
            ):
                norms[number] = norm(gradient)
            return loss.detach(), gradient, 0.0
        if self.is_watched:  # it cannot be read off the penalized gradient
            norms[number] = norm(
                torch.autograd.grad(loss, self.parameters, retain_graph=True, allow_unused=True)
            )
        found = penalized_gradient(loss, scalar, self.parameters, self._lambda)
        return loss.detach(), found.gradient, found.penalty


def _add(total: list[Tensor | None], gradient: Sequence[Tensor | None], weight: float) -> None:
    """total ← total + weight · gradient; the entry of a parameter that no micro-batch depends on stays None."""
    known: list[tuple[Tensor, Tensor]] = []
    for i, (before, g) in enumerate(zip(total, gradient, strict=True)):
        if g is not None and before is not None:
            known.append((before, g))
        elif g is not None:
            total[i] = g.detach() * weight
    if known:
        sums, terms = map(list, zip(*known, strict=True))
        torch._foreach_add_(sums, terms, alpha=weight)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
