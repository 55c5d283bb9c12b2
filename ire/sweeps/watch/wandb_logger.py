"""Weights & Biases: a run for each trial, in a group for each method of the experiment."""

# The extra `trackers` brings wandb: where it is missing, so are its types.
# pyright: reportMissingImports=false, reportUnknownMemberType=false

import re
from typing import Any

import wandb

from ire.foreign_text import visible
from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import FINISHED, PRUNED, TIMING, TrialRecord
from ire.sweeps.watch.tags import identity, scalars
from ire.sweeps.watch.watcher import Watcher
from ire.trial.report import FlatFraction, Report


class WandbLogger(Watcher):
    """wandb's own variables (WANDB_PROJECT, WANDB_MODE, ...) say where runs go, and whether online."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._runs: dict[str, Any] = {}

    def started(self, trial: TrialRecord) -> None:
        if trial.stage == TIMING:
            return
        self._runs[trial.name] = wandb.init(
            id=re.sub(r"[^A-Za-z0-9_-]", "-", f"{self._plan.name}-{trial.name}"),  # a resume continues it
            resume="allow",
            name=trial.name,
            group=f"{self._plan.name}/{trial.arm}",
            job_type=trial.stage,
            config=identity(trial) | {name: _plain(value) for name, value in trial.spec.settings.items()},
            reinit="create_new",  # several trials run at a time
            settings=wandb.Settings(silent=True),
        )

    def reported(self, trial: TrialRecord, report: Report, flat_fractions: dict[str, FlatFraction]) -> None:
        if run := self._runs.get(trial.name):
            run.log(scalars(report), step=report["step"])

    def ended(self, trial: TrialRecord) -> None:
        if run := self._runs.pop(trial.name, None):
            run.summary["status"] = trial.status
            run.finish(exit_code=int(trial.status not in (FINISHED, PRUNED)))

    def closed(self) -> None:
        for run in self._runs.values():
            run.finish(exit_code=1)
        self._runs.clear()


def _plain(value: Any) -> Any:
    return visible(value) if isinstance(value, str) else value
