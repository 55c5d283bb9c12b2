"""Runs one trial of a task or a training function, from its specification to its last report, without Ray."""

import contextlib
import os
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import torch

from ire.invalid_input import exited
from ire.storage.storage import patiently
from ire.trial.report import Report
from ire.trial.seeds import seed_step
from ire.trial.spec import TrialSpec
from trainables.functions.function import TrainingFunction
from trainables.functions.trial import NO_EXIT, Trial
from trainables.task import Task
from trainables.training.checkpoint import load_checkpoint
from trainables.training.determinism import determinism
from trainables.training.loop import DIVERGED, FINISHED, STOPPED, train
from trainables.training.placement import begin_peak_memory


def run_trial(
    workload: Task | TrainingFunction,
    spec: TrialSpec,
    report: Callable[[Report, Any], bool],
    *,
    checkpoint: str | Path | None,
    checkpoint_seconds: float,
    keep_last: bool,
    prefixes: str | Path | None,
    on_trouble: Callable[[OSError], None] | None,
    on_prefix: Callable[[Any], None],
    device: torch.device,
    rank: int = 0,
    world_size: int = 1,
) -> str:
    """Run one trial of a task or function, as `train` and `run_function` describe, and return how it ended."""
    where: dict[str, Any] = {
        "checkpoint": checkpoint,
        "checkpoint_seconds": checkpoint_seconds,
        "on_trouble": on_trouble,
    }
    worker: dict[str, Any] = {"device": device, "rank": rank, "world_size": world_size}
    if isinstance(workload, TrainingFunction):
        return run_function(spec, report, function=workload, **where, **worker)
    own: dict[str, Any] = {"keep_last": keep_last, "prefixes": prefixes, "on_prefix": on_prefix}
    try:
        return train(spec, report, task=workload, **where, **worker, **own)
    except SystemExit as end:
        raise exited(f"task {spec.task!r}", end, remedy=NO_EXIT) from end


def run_function(
    spec: TrialSpec,
    report: Callable[[Report, Trial], bool],
    *,
    function: TrainingFunction,
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 60.0,
    on_trouble: Callable[[OSError], None] | None = None,
    device: torch.device | str = "cpu",
    rank: int = 0,
    world_size: int = 1,
    softly: bool = False,
) -> str:
    """Run one trial and return how it ended: `finished`, `diverged`, or `stopped` because `report` returned False.

    `report(values, trial)` is called on every worker and must return the same value on all of them. A trial with a
    checkpoint, a folder or its URI, continues from it: its past reports are sent again, and the function reads its
    state from `trial.saved`; see `trainables.training.loop.train` for the rest. With `softly` the last report does not
    end the function. Raises `InvalidInput` if the function breaks the rules of a trial.
    """
    torch.set_num_threads(spec.threads)
    device = torch.device(device)
    with determinism(spec.deterministic), _undisturbed():
        seed_step(spec.seed, device)
        begin_peak_memory(device)
        state = patiently(lambda: load_checkpoint(checkpoint, device=device)) if checkpoint else None
        trial = Trial(
            spec,
            report,
            device=device,
            rank=rank,
            world_size=world_size,
            checkpoint=checkpoint,
            checkpoint_seconds=checkpoint_seconds,
            on_trouble=on_trouble,
            state=state,
            softly=softly,
        )
        for past in trial.reports:
            if not report(past, trial):
                return STOPPED
            if past["diverged"]:
                return DIVERGED
            if past["step"] == spec.horizon:
                return FINISHED
        status = trial.run(function.call).status
    assert status is not None
    return status


@contextlib.contextmanager
def _undisturbed() -> Generator[None, None, None]:
    """Restore the global state of the process that a function may change, since the next trial runs in it."""
    folder, variables, place = os.getcwd(), dict(os.environ), torch.get_default_device()
    before = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_float32_matmul_precision()
    streams = sys.stdout, sys.stderr
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        torch.set_default_dtype(before[0])
        torch.set_grad_enabled(before[1])
        torch.set_float32_matmul_precision(before[2])
        if torch.get_default_device() != place:
            torch.set_default_device(None if place.type == "cpu" else place)
        os.chdir(folder)
        for name in os.environ.keys() | variables.keys():
            if name not in variables:
                del os.environ[name]
            elif os.environ.get(name) != variables[name]:
                os.environ[name] = variables[name]
