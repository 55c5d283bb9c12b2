"""Everything a trial reports, in TensorBoard, and an HParams tab with all trials of all methods.

The HParams entry is written when a trial starts and closed when it ends, with any status. After a kill, missing events
are written from the records at the next start, except the flat fractions of single tensors, which are recorded at the
end only.
"""

# Torch types its SummaryWriter in part, and TensorBoard has no types.
# pyright: reportUnknownMemberType=false

import math
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from tensorboard.backend.event_processing import event_accumulator  # pyright: ignore[reportMissingTypeStubs]
from torch.utils.tensorboard import SummaryWriter

from ire.foreign_text import visible
from ire.storage.storage import open_storage
from ire.sweeps.plan.plan import Plan
from ire.sweeps.plan.searched_settings import settings_that_vary
from ire.sweeps.records.experiment_home import ExperimentHome
from ire.sweeps.records.records import FINISHED, PRUNED, RUNNING, TIMING, TrialRecord
from ire.sweeps.search.protocol import Protocol
from ire.sweeps.watch.hparams import add_end, add_experiment, add_start
from ire.sweeps.watch.publisher import ALL_SECONDS
from ire.sweeps.watch.run_groups import group
from ire.sweeps.watch.tags import identity, scalars
from ire.sweeps.watch.watcher import Watcher
from ire.trial.metric import LOSS
from ire.trial.report import FlatFraction, Report, value

IN_DOUBT = timedelta(seconds=2 * ALL_SECONDS)
"""Time before a kill in which the events of ended trials may not have been stored."""

OUTCOME, WON = "outcome", "won"
WRITER = "_AsyncWriterThread"
"""The class of the threads of TensorBoard that write events."""
END_METRICS = ("final_val_loss", "best_val_loss", "progress", WON)
STATUS = f"{OUTCOME}/status"
STATUS_BEFORE = "end/status"
"""The tag that an older version used; its experiments can be resumed."""
FIRST = ("method", "stage", "lr", "kappa", "gamma")
"""Columns that the HParams tab shows first, if the sweep has them; others fill up to the same number."""


class TensorBoard(Watcher):
    """Writes one run per trial under `trials/`, named like the trial; turns of the quiet pass have no run."""

    def __init__(self, home: ExperimentHome) -> None:
        self._home, self._root = home, home.folder / "trials"
        self._writers: dict[str, SummaryWriter] = {}
        self._protocol: Protocol | None = None
        self._searched: dict[str, list[str]] = {}
        self._hook = threading.excepthook

    def opened(self, protocol: Protocol) -> None:
        plan, self._protocol = protocol.plan, protocol
        self._hook, threading.excepthook = threading.excepthook, self._take
        self._searched = {name: settings_that_vary(plan, name) for name in plan.methods}
        metric = plan.space.metric
        ends = [*END_METRICS, *([] if metric.is_loss else [f"final_{metric.name}"])]
        writer = self._writer("")
        add_experiment(
            writer,
            plan.name,
            f"{plan.task}: {plan.methods}",
            columns=columns(plan),
            metrics={name: f"{OUTCOME}/{name}" for name in ends},
        )
        writer.flush()
        self._catch_up(protocol)

    def _catch_up(self, protocol: Protocol) -> None:
        """Write recorded events that a killed run did not write."""
        trials = [trial for trial in protocol.records.trials.values() if trial.stage != TIMING]
        stored = {name.split("/")[0] for name in open_storage(self._home.below("trials")).names()}
        killed = max((time for trial in trials if (time := trial.ended or trial.started)), default=None)
        to_come = {trial.name for trial in protocol.settled}  # the run itself reports their end
        for trial in trials:
            if trial.name in stored and trial.ended and killed and trial.ended < killed - IN_DOUBT:
                continue
            step, is_closed = -1, False
            if trial.name in stored:
                self._home.fetch(f"trials/{trial.name}")
                step, is_closed = _written(self._root / trial.name)
            over = trial.status != RUNNING and trial.name not in to_come
            if over and step < 0:
                self.started(trial)
            for report in trial.reports:
                if report["step"] > step:
                    self.reported(trial, report, {})
            if over and not is_closed:
                self.ended(trial)

    def started(self, trial: TrialRecord) -> None:
        if trial.stage == TIMING:
            return
        assert trial.started is not None, "the start is recorded before it is shown"
        searched = self._searched.get(trial.arm, ())
        values = identity(trial) | {
            name: setting for name, setting in trial.spec.settings.items() if name in searched
        }
        writer = self._writer(trial.name)
        add_start(writer, trial.name, trial.started, values)
        writer.flush()
        group(self._home.folder, trial)

    def reported(self, trial: TrialRecord, report: Report, flat_fractions: dict[str, FlatFraction]) -> None:
        if trial.stage == TIMING:
            return
        writer = self._writer(trial.name)
        for tag, number in scalars(report).items():
            writer.add_scalar(tag, number, report["step"])
        for name, fraction in flat_fractions.items():
            writer.add_scalar(f"mask/{name}", fraction.share, report["step"])

    def ended(self, trial: TrialRecord) -> None:
        if trial.stage == TIMING:
            return
        writer = self._writer(trial.name)
        ends = {
            **self._final_metric(trial),
            "final_val_loss": trial.val_loss,
            "best_val_loss": trial.best_val_loss,
            "progress": trial.step / trial.spec.horizon,
        }
        for tag, number in ends.items():
            writer.add_scalar(f"{OUTCOME}/{tag}", math.nan if number is None else number, trial.step)
        writer.add_text(
            STATUS,
            trial.status + (f"\n\n    {visible(trial.error)}" if trial.error else ""),
            trial.step,
        )
        assert trial.ended is not None, "the end is recorded before it is shown"
        add_end(writer, trial.ended, good=trial.status in (FINISHED, PRUNED))
        writer.close()
        del self._writers[trial.name]

    def _final_metric(self, trial: TrialRecord) -> dict[str, float | None]:
        """The final value of the compared metric; empty where it is the loss."""
        metric = self._protocol.plan.space.metric if self._protocol else LOSS
        end = value(trial.reports[-1], metric.name) if trial.reports else None
        return {} if metric.is_loss else {f"final_{metric.name}": end}

    def closed(self) -> None:
        try:
            self._mark_winners()
            for writer in self._writers.values():
                writer.close()
            self._writers.clear()
        finally:
            threading.excepthook = self._hook

    def _take(self, error: threading.ExceptHookArgs) -> None:
        """An error of a writer's thread is not printed: the next call of its writer raises it."""
        if not (isinstance(error.exc_value, OSError) and type(error.thread).__name__ == WRITER):
            self._hook(error)

    def _mark_winners(self) -> None:
        """Mark the search trials that won: a column of the HParams tab, and a text with their settings."""
        for name, arm in self._protocol.arms.items() if self._protocol else ():
            winner, settings = arm.winner, arm.settings
            if winner is None or settings is None or not arm.winner_is_final:
                continue
            self._writer(winner.name).add_scalar(f"{OUTCOME}/{WON}", 1.0, winner.step)
            searched = self._searched.get(arm.method.name, ())
            lines = [f"{key} = {settings[key]!r}" for key in searched if key in settings]
            text = "\n".join(["", winner.name, *lines]).replace("\n", "\n    ")  # Markdown shows it as code
            self._writer("").add_text(f"winner/{name}", visible(text))

    def _writer(self, run: str) -> SummaryWriter:
        if run not in self._writers:
            self._writers[run] = SummaryWriter(str(self._root / run), flush_secs=5)
        return self._writers[run]


def columns(plan: Plan) -> dict[str, bool]:
    """The columns of the HParams tab, and whether each is shown at first: searched settings, no constants."""
    searched = dict.fromkeys(name for method in plan.methods for name in settings_that_vary(plan, method))
    names = ["method", "stage", *sorted(searched), "study", "seed"]
    first = [name for name in FIRST if name in names]
    first += [name for name in searched if name not in first][: len(FIRST) - len(first)]
    return {name: name in first for name in names}


def _written(run: Path) -> tuple[int, bool]:
    """The last step whose report is among the events of a run (-1 without any), and whether its end is."""
    events = cast(Any, event_accumulator).EventAccumulator(str(run), size_guidance={"scalars": 1}).Reload()
    tags = events.Tags()
    steps = [events.Scalars(tag)[-1].step for tag in tags["scalars"] if tag == "loss/val_loss"]
    return max(steps, default=-1), any(
        f"{tag}/text_summary" in tags["tensors"] for tag in (STATUS, STATUS_BEFORE)
    )
