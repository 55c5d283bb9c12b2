"""Evaluates the task's metrics on a split; the workers share the batches."""

import torch
import torch.distributed as dist
from torch import Tensor, nn

from trainables.data.batch import moved
from trainables.updates import Setup
from trainables.updates.workers import average_buffers


@torch.no_grad()
def evaluate(setup: Setup, sums_of: nn.Module, split: str) -> dict[str, float]:
    """The task's metrics on `validation` or `test`, the mean over all its predictions; the same on every worker.

    `sums_of` maps a batch to the sums of its metrics (`EvaluationSums`, maybe compiled). The model is in evaluation
    mode afterwards, with buffers averaged over the workers.
    """
    average_buffers(setup.model, setup.world_size)
    setup.model.eval()
    sums: dict[str, Tensor] = {}
    for index, batch in enumerate(setup.task.eval_batches(split)):
        mine = index % setup.world_size == setup.rank
        if index and not mine:  # every worker evaluates the first batch, so that all know the metrics' names
            continue
        batch = moved(batch, setup.device)
        with setup.autocast():
            metrics = sums_of(batch)
        for name, value in metrics.items():
            sums[name] = sums.get(name, 0) + value.double() * mine  # each batch counts once
    if setup.world_size > 1:
        packed = torch.stack(list(sums.values()))
        dist.all_reduce(packed)
        sums = dict(zip(sums, packed, strict=True))
    count = sums.pop("count")
    return {name: (value / count).item() for name, value in sums.items()}
