"""Sends the news of a worker to its trial: reports, errors, storage failures, hangs."""

import os
import time
from typing import Any, cast

import ray
import torch
import torch.distributed as dist

from ire.storage.storage import is_full
from ire.trial.message import Message, StorageTrouble
from ire.trial.report import FlatFraction, Report
from ire.trial.spec import TrialSpec
from trainables.functions.trial import Trial
from trainables.gang.watchdog import HangGuard
from trainables.training.training import Training

FLUSH_SECONDS = 0.5
"""Reports are sent in batches, delayed by at most this; those of a rung and the last one are sent at once."""

DIAGNOSIS_SECONDS = 2.0
"""How long a hung worker lives after its diagnosis: its peers hang with it and also send theirs."""


class Messenger:
    """Carries a trial's reports from its workers to the mailbox, and the verdict back to every worker.

    A context around the trial that watches for a hang.
    """

    def __init__(
        self,
        mailbox: Any,
        number: int,
        spec: TrialSpec,
        *,
        rank: int,
        world_size: int,
        device: torch.device,
        hang_seconds: float,
    ) -> None:
        group = cast(Any, ray.util).get_current_placement_group()
        actor = cast(Any, ray.get_runtime_context()).current_actor
        ray.get(mailbox.began.remote(number, rank, actor, group and group.id.hex()))
        self._mailbox, self._number, self._spec = mailbox, number, spec
        self._guard = HangGuard(hang_seconds, self._hangs)
        self._rank, self._world_size, self._device = rank, world_size, device
        self._reports: list[Report] = []
        self._flat_fractions: list[dict[str, FlatFraction]] = []
        self._sent = time.monotonic()

    def __call__(self, report: Report, training: Training | Trial) -> bool:
        """Take one report; False if the trial is to be abandoned. Called on every worker."""
        with self._guard.paused():  # the sweep may be slow to answer, or its storage unreachable
            return self._deliver(report, training)

    def _deliver(self, report: Report, training: Training | Trial) -> bool:
        last = report["step"] == self._spec.horizon or report["diverged"]
        stands = True
        if self._rank == 0:
            is_past = report["step"] < training.step  # sent again: the mask of that step is lost
            self._reports.append(report)
            self._flat_fractions.append({} if is_past else training.flat_fractions())
            rung = report["step"] in self._spec.rungs and not last
            if not last and (rung or time.monotonic() - self._sent >= FLUSH_SECONDS):
                stands = self._send(wait=rung)
        if self._world_size > 1:
            flag = torch.tensor(int(stands), device=self._device)
            dist.broadcast(flag, src=0)
            stands = bool(flag.item())
        return stands

    def __enter__(self) -> "Messenger":
        self._guard.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._guard.__exit__(*error)

    def _hangs(self, diagnosis: str) -> None:
        """Report and exit; called from the guard's thread. The trial's actor restarts the gang."""
        ray.get(self._mailbox.hung.remote(self._number, self._rank, diagnosis))
        time.sleep(DIAGNOSIS_SECONDS)
        os._exit(1)

    def storage_error(self, error: OSError) -> None:
        """Report that a checkpoint could not be written; the trial continues."""
        self._send(storage_trouble=StorageTrouble(cause=str(error), is_full=is_full(error)))

    def prefix(self, training: Training) -> None:
        """Report that the trial starts from another trial's steps, and what they cost."""
        if self._rank == 0:
            self._send(prefix=training.gradient_evaluations)

    def flush(self, error: str | None = None, *, gang_is_well: bool = False) -> None:
        """Send the remaining reports as the trial's last message; `error` comes from the worker that raised it."""
        if self._rank == 0 or error:
            self._send(last=True, error=error, gang_is_well=gang_is_well)

    def _send(self, *, wait: bool = False, **news: Any) -> bool:
        message = Message(reports=tuple(self._reports), flat_fractions=tuple(self._flat_fractions), **news)
        self._reports, self._flat_fractions, self._sent = [], [], time.monotonic()
        return cast(bool, ray.get(self._mailbox.put.remote(self._number, message, wait)))
