"""How flat a solution is: Tr F, Tr H and the largest eigenvalue of H, on fixed training batches.

Batches and random probes are the same for every trial of a task, so trials differ only in their solutions. Nothing
here counts as training: the clock is stopped first.
"""

import functools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ire.optim.curvature.gradients import grad
from ire.optim.curvature.sharpness import Estimate, hessian_trace, largest_eigenvalue, weighted_mean
from ire.trial.report import MEASURES
from ire.trial.seeds import generator
from trainables.data.batch import Batch, chunk, moved
from trainables.task import Task

DRAWS = 4
"""Labels sampled per batch for Tr F."""
PROBES = 8
"""Random sign vectors for Tr H."""
PRODUCTS = 20
"""The maximum number of Hessian-vector products for the largest eigenvalue."""


def flatness(
    task: Task, model: nn.Module, *, batches: int, parts: int = 1, device: torch.device | str = "cpu"
) -> Mapping[str, float | str]:
    """The three measures with their errors (`fisher_trace`, `fisher_trace_error`, ...), at the current `model`.

    H is the Hessian of the training loss, with running batch-norm statistics and without dropout. Each batch is cut
    into `parts`, of which one at a time is in memory. If the model has no second derivative or memory is too small, the
    only entry is `flatness_error`, which says so: a failed measurement must not fail a run.
    """
    was_training = model.training
    model.eval()
    stream = task.train_batches(seed=0, start=0)
    pieces = [
        task.prepared(piece) for _ in range(batches) for piece in chunk(moved(next(stream), device), parts)
    ]
    losses = [functools.partial(_loss, task, model, piece) for piece in pieces]
    parameters = [p for p in model.parameters() if p.requires_grad]
    try:
        with (
            sdpa_kernel(SDPBackend.MATH),
            torch.enable_grad(),
        ):  # the fused kernels cannot be differentiated twice
            found = {
                "fisher_trace": _fisher_trace(task, model, parameters, pieces),
                "hessian_trace": hessian_trace(
                    losses, parameters, probes=PROBES, generator=generator("flatness", "signs")
                ),
                "largest_eigenvalue": largest_eigenvalue(
                    losses, parameters, products=PRODUCTS, generator=generator("flatness", "start")
                ),
            }
    except RuntimeError as error:  # includes torch.OutOfMemoryError and NotImplementedError
        return {"flatness_error": str(error).splitlines()[0]}
    finally:
        model.train(was_training)
    values = {name: found[name].value for name in MEASURES}
    return values | {f"{name}_error": found[name].error for name in MEASURES}


def _loss(task: Task, model: nn.Module, batch: Batch) -> Tensor:
    return task.loss(task.outputs(model, batch), batch)


def _fisher_trace(
    task: Task, model: nn.Module, parameters: Sequence[Tensor], pieces: Sequence[Batch]
) -> Estimate:
    """Tr F = B ‖∇L̂_B‖² (Wang et al. 2024, Appendix C), by the task's own sampled labels, whatever its loss.

    Pieces are weighted by B, their number of predictions, so that together they count as one large batch; a piece
    without predictions, such as padding alone, has no gradient.
    """
    found: list[float] = []
    counts: list[float] = []
    for index, piece in enumerate(pieces):
        for draw in range(DRAWS):
            outputs = task.outputs(model, piece)
            count = float(task.metric_sums(outputs.detach().float(), piece)["count"])
            if not count:
                continue
            labels = generator("flatness", "labels", index, draw, device=outputs.device)
            loss = task.sampled_loss(outputs, piece, generator=labels)
            squares = sum(float(g.double().square().sum()) for g in grad(loss, parameters) if g is not None)
            counts.append(count)
            found.append(count * squares)
    if not found:
        raise RuntimeError("no position in the batches counts, so there is nothing to measure")
    return weighted_mean(found, counts)
