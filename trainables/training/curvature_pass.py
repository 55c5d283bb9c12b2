"""The extra backward on labels sampled from the model: IRE's curvature (Wang et al. 2024, Algorithm 1), or Sophia's."""

from typing import cast

from ire.optim import IRE, frozen_batch_norm
from ire.trial.seeds import generator
from trainables.data.batch import Batch, examples
from trainables.training.objective import Draw, sampled_loss
from trainables.training.sampled_hessian import SampledHessian, predictions
from trainables.updates import Setup, Update


def refresh_curvature(setup: Setup, update: Update, parts: list[Batch], step: int) -> None:
    """Let the optimizer take its curvature at `step` of the task; `parts` are this worker's parts of the batch."""
    optimizer = setup.optimizer
    optimizer.zero_grad()
    count = sum(map(examples, parts))
    with frozen_batch_norm(setup.model):
        for index, batch in enumerate(parts):
            number, part, of = update.labels_of(index)
            labels = generator(setup.spec.seed, "labels", step, number, device=setup.device)
            with setup.reduce_on_last(index, parts):
                with setup.autocast():
                    draw = Draw(generator=labels, rank=part, world_size=of)
                    loss = sampled_loss(setup.objective, setup.task, setup.model, batch, draw)
                (loss / (count / examples(batch))).backward()  # pyright: ignore[reportUnknownMemberType] - torch's type is incomplete
    if isinstance(optimizer, IRE):
        optimizer.update_mask()
    else:
        count = predictions([setup.task.targets(part) for part in parts]) * setup.world_size
        cast(SampledHessian, optimizer).update_curvature(count)
