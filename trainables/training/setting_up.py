"""Builds the objects of a trial in one worker from its specification: model, objective, optimizer."""

import logging

import torch

# Imported before there is a process group. DDP would import it later, and its functions would keep the current group
# as a default: the group's threads then outlive it, and one that frees a tensor while Python exits aborts the process.
import torch.distributed.nn.functional  # pyright: ignore[reportUnusedImport] - as above
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ire.invalid_input import InvalidInput
from ire.methods.task_settings import attributes
from ire.trial.seeds import derive_seed
from ire.trial.spec import TrialSpec
from trainables.task import Task
from trainables.training.compiling import compiled
from trainables.training.groups import grouped
from trainables.training.objective import Objective
from trainables.training.optimizers import build_optimizer
from trainables.training.placement import begin_peak_memory, model_on
from trainables.updates import Setup

LOG = logging.getLogger(__name__)


def set_up(task: Task, spec: TrialSpec, *, device: torch.device, rank: int, world_size: int) -> Setup:
    """Build the model and what trains it, with torch's seed and precision set; raises `InvalidInput`."""
    task = task.in_study(spec.study).with_attributes(attributes(spec.settings))
    method = spec.parsed_method
    settings = method.resolve(spec.settings)
    if spec.compile and method.differentiates_twice:
        raise InvalidInput(
            f"--compile: {spec.method} differentiates twice, which a compiled model does not support; omit --compile"
        )
    torch.set_float32_matmul_precision("high" if spec.precision == "tf32" else "highest")
    torch.manual_seed(derive_seed(spec.seed, "model"))  # pyright: ignore[reportUnknownMemberType] - torch's type is incomplete
    begin_peak_memory(device)
    model = model_on(task, device)
    objective: nn.Module = Objective(task, model)
    if world_size > 1:
        # Batch-norm statistics are each worker's own while training and averaged before they are read.
        objective = DistributedDataParallel(objective, broadcast_buffers=False)
    if spec.compile:
        objective = compiled(objective, device)
    optimizer = build_optimizer(
        method,
        settings,
        model,
        horizon=spec.horizon,
        seed=spec.seed,
        optimizer_steps=method.optimizer_steps(settings, task.batch_size),
        compile=spec.compile,
    )
    if rank == 0 and LOG.isEnabledFor(logging.INFO):
        for group in grouped(method, settings, model):
            LOG.info("%s: %s (%s)", spec.name, group, ", ".join(group.parameters))
    return Setup(
        task=task,
        spec=spec,
        method=method,
        settings=settings,
        model=model,
        objective=objective,
        optimizer=optimizer,
        device=device,
        rank=rank,
        world_size=world_size,
    )
