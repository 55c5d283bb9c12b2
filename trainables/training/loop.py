"""Train one trial from its specification to its last report, in plain PyTorch and without Ray."""

import time
from collections.abc import Callable
from pathlib import Path

import torch

from ire.storage.storage import patiently
from ire.trial.report import Report
from ire.trial.spec import TrialSpec
from trainables.task import Task, load_task
from trainables.training.checkpoint import load_checkpoint, save_checkpoint
from trainables.training.determinism import determinism
from trainables.training.prefix import SharedPrefix, prefix_key
from trainables.training.training import Training

FINISHED, DIVERGED, STOPPED = "finished", "diverged", "stopped"


def train(
    spec: TrialSpec,
    report: Callable[[Report, Training], bool],
    *,
    task: Task | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 60.0,
    keep_last: bool = False,
    on_trouble: Callable[[OSError], None] | None = None,
    prefixes: str | Path | None = None,
    on_prefix: Callable[[Training], None] | None = None,
    device: torch.device | str = "cpu",
    rank: int = 0,
    world_size: int = 1,
) -> str:
    """Run one trial and return how it ended: `finished`, `diverged`, or `stopped` because `report` returned False.

    `report(values, training)` is called after every evaluation, on every worker, and must return the same value
    on all of them. With `checkpoint`, a folder or its URI, the trial continues from the checkpoint there (its
    past reports are sent again, so that none is lost) and saves there at most every `checkpoint_seconds`,
    before it sends the report that the checkpoint contains; with `keep_last` also at the end. Only worker 0
    writes, and all must be able to read. A checkpoint that cannot be written is passed to `on_trouble` and
    retried at the next report, or raises `OSError` if `on_trouble` is None.

    With `prefixes`, a folder or its URI, trials with equal steps before IRE's boost share them: a trial without a
    checkpoint starts from the state there, after a call of `on_prefix`, or stores its own state there.
    """
    torch.set_num_threads(spec.threads)
    with determinism(spec.deterministic):
        return _trained(
            Training(
                task or load_task(spec.task),
                spec,
                device=torch.device(device),
                rank=rank,
                world_size=world_size,
            ),
            report,
            checkpoint=checkpoint,
            checkpoint_seconds=checkpoint_seconds,
            keep_last=keep_last,
            on_trouble=on_trouble,
            prefixes=prefixes,
            on_prefix=on_prefix,
        )


def _begin(
    training: Training,
    checkpoint: str | Path | None,
    shared: SharedPrefix | None,
    on_prefix: Callable[[Training], None] | None,
) -> None:
    """Continue from a checkpoint or a shared prefix if there is one; its tensors are freed on return."""
    device = training.device
    state = patiently(lambda: load_checkpoint(checkpoint, device=device)) if checkpoint else None
    if state is not None:
        training.load_state_dict(state)
    elif shared and (prefix := shared.find(training)):
        training.begin_with(prefix)
        if on_prefix:
            on_prefix(training)


def _trained(
    training: Training,
    report: Callable[[Report, Training], bool],
    *,
    checkpoint: str | Path | None,
    checkpoint_seconds: float,
    keep_last: bool,
    on_trouble: Callable[[OSError], None] | None,
    prefixes: str | Path | None,
    on_prefix: Callable[[Training], None] | None,
) -> str:
    spec, rank = training.spec, training.rank
    shared = SharedPrefix(prefixes, key) if prefixes and (key := prefix_key(spec)) else None
    _begin(training, checkpoint, shared, on_prefix)
    training.agree_on_step()
    if training.reports:
        for past in training.reports:
            if not report(past, training):
                return STOPPED
            if past["diverged"]:
                return DIVERGED
    saved = time.monotonic()
    while training.step < spec.horizon:
        training.advance()
        values = training.report() if spec.reports_at(training.step) else None
        late = time.monotonic() - saved >= checkpoint_seconds
        try:
            if shared:
                shared.take(training)
            if (
                values
                and checkpoint
                and rank == 0
                and (late or (keep_last and training.step == spec.horizon))
            ):
                save_checkpoint(training.state_dict(), checkpoint)
                saved = time.monotonic()
        except OSError as error:
            if on_trouble is None:
                raise
            on_trouble(error)
        if values and not report(values, training):
            return STOPPED
        if values and values["diverged"]:
            return DIVERGED
    return FINISHED
