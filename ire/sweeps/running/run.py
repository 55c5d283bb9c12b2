"""The part of a run that Ray and one process share: messages of trials, calls of watchers, and kept checkpoints."""

import contextlib
from collections.abc import Generator, Sequence
from typing import Any

from ire.storage.storage import open_storage
from ire.sweeps.records.experiment_home import PREFIXES, ExperimentHome
from ire.sweeps.records.records import FAILED, RUNNING, SEARCH, TrialRecord
from ire.sweeps.search.protocol import Protocol
from ire.sweeps.watch.watcher import Watcher
from ire.trial.message import Message


class Run:
    """One run of a protocol. The code that trains trials calls `next_trial` and `message`."""

    def __init__(self, protocol: Protocol, home: ExperimentHome, *, watchers: Sequence[Watcher]) -> None:
        self.protocol = protocol
        self.watchers = watchers
        self.cannot_go_on: str | None = None
        """Why the run ended early; None if it did not. It can be resumed once this is fixed."""
        self._home = home
        self._with_checkpoint = {
            name.split("/")[0] for name in open_storage(home.below("checkpoints")).names()
        }
        """Trials that may have a checkpoint: running ones, kept ones, and leftovers of a killed run."""

    def run(self) -> None:
        """Train the remaining trials."""
        raise NotImplementedError

    def begin(self) -> None:
        """Forget the reports of ended trials, and finish trials whose end was not recorded."""
        settled = {trial.name for trial in self.protocol.settled}
        for trial in self.protocol.records.trials.values():
            if trial.status != RUNNING and trial.name not in settled:
                trial.forget_reports()
        for trial in self.protocol.settled:
            self._ended(trial)

    def close(self) -> None:
        """Close every watcher, even if another one fails; an output that cannot be written ends the run."""
        for watcher in self.watchers:
            with self._going_on():
                watcher.closed()

    def tick(self) -> None:
        """Let the watchers act periodically."""
        with self._going_on():
            for watcher in self.watchers:
                watcher.tick()

    def next_trial(self) -> TrialRecord | None:
        """The trial to train next, recorded as started; None if none can start."""
        with self._going_on():
            trial = self.protocol.next_trial() if self.cannot_go_on is None else None
            if trial is not None:
                self._with_checkpoint.add(trial.name)
                for watcher in self.watchers:
                    watcher.started(trial)
            return trial
        return None

    def where(self, trial: TrialRecord) -> dict[str, Any]:
        """Where and when a trial saves its state: arguments of `trainables.functions.run.run_trial`."""
        plan = self.protocol.plan
        return {
            "checkpoint": self._home.below("checkpoints", trial.name),
            "checkpoint_seconds": plan.checkpoint_seconds,
            "keep_last": trial.stage == SEARCH,
            "prefixes": self._home.below(PREFIXES) if plan.shares_prefix(trial.stage) else None,
        }

    def message(self, name: str, message: Message) -> bool:
        """Process a trial's message; False if the trial must stop."""
        trial = self.protocol.records.trials[name]
        if self.cannot_go_on is None:
            with self._going_on():
                self._take(trial, message)
        return trial.status == RUNNING

    def _take(self, trial: TrialRecord, message: Message) -> None:
        if not trial.reports:
            trial.prefix = message.prefix or trial.prefix
        for report, flat_fractions in zip(message.reports, message.flat_fractions, strict=True):
            known = report["step"] <= trial.step
            goes_on = self.protocol.report(trial, report, flat_fractions)
            if not known:
                for watcher in self.watchers:
                    watcher.reported(trial, report, flat_fractions)
            if not goes_on:
                break
        if trial.status == RUNNING:
            self._take_trouble(trial, message)
        if trial.status != RUNNING:
            self._ended(trial)

    def _take_trouble(self, trial: TrialRecord, message: Message) -> None:
        if message.notice:
            self._tell(f"{trial.name}: {message.notice}")
        if message.trouble:
            self._fault(trial, message.trouble.kind, message.trouble.cause)
        if message.storage_trouble:
            cause = message.storage_trouble.cause
            if message.storage_trouble.is_full:
                self._break_off(
                    f"the storage is full: a checkpoint of {trial.name} could not be written ({cause})"
                )
            else:
                self.protocol.records.fault(trial, "storage", cause)
                self._tell(f"{trial.name}: a checkpoint could not be written; the trial continues: {cause}")
        if message.error:
            self.protocol.end(trial, FAILED, message.error)

    def _fault(self, trial: TrialRecord, kind: str, cause: str) -> bool:
        goes_on = self.protocol.fault(trial, kind, cause)
        self._tell(
            f"{trial.name}: {kind}; {'it continues from its checkpoint' if goes_on else 'given up'}\n{cause}"
        )
        return goes_on

    def _tell(self, text: str) -> None:
        for watcher in self.watchers:
            watcher.noticed(text)

    @contextlib.contextmanager
    def _going_on(self) -> Generator[None, None, None]:
        """End the run cleanly if the records cannot be written, since every event must be recorded."""
        try:
            yield
        except OSError as error:
            self._break_off(f"{self._home.location} cannot be written to: {error}")

    def _break_off(self, reason: str) -> None:
        self.cannot_go_on = self.cannot_go_on or reason

    def _ended(self, trial: TrialRecord) -> None:
        self._clear_checkpoints()
        for watcher in self.watchers:
            watcher.ended(trial)
        trial.forget_reports()

    def _clear_checkpoints(self) -> None:
        """Delete checkpoints except those of each method's candidates, or of its winner once it is chosen."""
        for name in sorted(self._with_checkpoint):
            other = self.protocol.records.trials.get(name)
            if other is None or (other.status != RUNNING and name not in self._kept(other)):
                self._home.clear(f"checkpoints/{name}")
                self._with_checkpoint.remove(name)

    def _kept(self, trial: TrialRecord) -> set[str]:
        arm = self.protocol.arm(trial)
        best = [arm.winner] if arm.winner_is_final else arm.candidates
        return {trial.name for trial in best if trial}
