"""The thin shell between the protocol and Ray Tune: a searcher and a scheduler that query it, and the run.

Both dispatch on the method of a trial: the protocol holds an Optuna study and rungs of its own for each.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ray import tune
from ray.tune.callback import Callback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from ire.storage.storage import open_storage
from ire.sweeps.ray.local_cluster import ClusterLost
from ire.sweeps.records.experiment_home import PREFIXES, ExperimentHome
from ire.sweeps.records.records import FAILED, RUNNING, SEARCH, TrialRecord
from ire.sweeps.search.protocol import Protocol
from ire.sweeps.watch.watcher import Watcher
from ire.trial.message import Message
from trainables.gang.trainable import GangTrainable

GANGS = "gangs"
"""Ray Train's storage for gangs; never read."""

COUNT_SECONDS = 5.0
"""Seconds between counts of the cluster's nodes."""


class ProtocolSearcher(Searcher):
    """Hands the protocol's trials to Tune, never more than there are slots."""

    def __init__(self, run: "TuneRun") -> None:
        super().__init__()
        self._run = run

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        return self._run.next_job()

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """Nothing: the scheduler has seen it."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the records are what a sweep is resumed from."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, for the same reason."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing, for the same reason."""


class ProtocolScheduler(FIFOScheduler):
    """Carries every message of a trial to the protocol, and its verdict back."""

    def __init__(self, run: "TuneRun") -> None:
        super().__init__()
        self._run = run

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        (message,) = result["messages"]
        goes_on = self._run.message(trial.config["job"]["spec"]["name"], message)
        return TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        error = trial.get_error()  # none if the process was gone without a word
        self._run.lost(trial.config["job"]["spec"]["name"], str(error or "its process or its node is gone"))


class Ticker(Callback):
    """Lets the run act periodically, in Tune's own loop."""

    def __init__(self, run: "TuneRun") -> None:
        self._run = run

    def on_step_end(self, iteration: int, trials: list, **info: Any) -> None:
        self._run.tick()


class Interrupted(Stopper):
    """Ends Tune's run cleanly when the sweep cannot continue."""

    def __init__(self, run: "TuneRun") -> None:
        self._run = run

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._run.cannot_go_on is not None


class TuneRun:
    """One run of a protocol on the Ray cluster that is connected; ends when it is over or interrupted."""

    def __init__(
        self,
        protocol: Protocol,
        home: ExperimentHome,
        *,
        slots: Callable[[], int],
        watchers: Sequence[Watcher],
    ) -> None:
        """`slots` says how many trials the cluster can run at a time now; it is asked again every few seconds.

        It raises `ClusterLost` if that is none, and never will be another number.
        """
        self.protocol = protocol
        self.watchers = watchers
        self.cannot_go_on: str | None = None
        """Why the run ended early, if it did; it can be resumed once this is fixed."""
        self._home = home
        self._with_checkpoint = {
            name.split("/")[0] for name in open_storage(home.below("checkpoints")).names()
        }
        """Trials that may have a checkpoint: running ones, kept ones, and what a kill left behind."""
        self._count_slots, self._slots, self._counted = slots, slots(), time.monotonic()

    def __reduce__(self) -> tuple:
        """Tune pickles its searcher, scheduler and callbacks for a restore that is never used: pickle nothing."""
        return object, ()

    def __deepcopy__(self, memo: dict) -> "TuneRun":
        return self

    def run(self) -> None:
        """Run until every trial has ended, or until SIGINT."""
        # Read when Tune starts: no CSV, JSON and TensorBoard writers, no tables, no frequent pickles of a state
        # that we neither need nor read.
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
        os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
        os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "3600"
        settled = {trial.name for trial in self.protocol.settled}
        for trial in self.protocol.records.trials.values():
            if trial.status != RUNNING and trial.name not in settled:
                trial.forget_reports()
        tuner = tune.Tuner(
            # a placement group must ask for something, and every CPU is the workers'
            tune.with_resources(GangTrainable, {"memory": 1}),
            tune_config=tune.TuneConfig(
                search_alg=ProtocolSearcher(self),
                scheduler=ProtocolScheduler(self),
                num_samples=-1,
                reuse_actors=True,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(self._home.folder),
                verbose=0,
                stop=Interrupted(self),
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
                callbacks=[Ticker(self)],
            ),
        )
        for trial in self.protocol.settled:
            self._ended(trial)
        tuner.fit()

    def close(self) -> None:
        """Close all watchers, each even if another fails; an output that cannot be written ends the run.

        Removes Ray Train's storage for gangs.
        """
        for watcher in self.watchers:
            with self._going_on():
                watcher.closed()
        self._home.clear(GANGS)

    def tick(self) -> None:
        """Time has passed: nodes may have come or gone."""
        if time.monotonic() - self._counted >= COUNT_SECONDS:
            try:
                self._slots = self._count_slots()
            except ClusterLost as lost:
                self._break_off(f"the Ray cluster of this machine is lost: {lost}")
            self._counted = time.monotonic()
        with self._going_on():
            for watcher in self.watchers:
                watcher.tick()

    def next_job(self) -> dict[str, Any] | str | None:
        """The Tune config of the next trial; None if none can start now, FINISHED if none will any more."""
        if self.cannot_go_on or len(self.protocol.running) >= self._slots:
            return None
        with self._going_on():
            trial = self.protocol.next_trial()
            if trial is None:
                return Searcher.FINISHED if self.protocol.is_over else None
            return self._start(trial)
        return None

    def _start(self, trial: TrialRecord) -> dict[str, Any]:
        self._with_checkpoint.add(trial.name)
        for watcher in self.watchers:
            watcher.started(trial)
        plan = self.protocol.plan
        return {
            "job": {
                "spec": trial.spec.to_dict(),
                "checkpoint": self._checkpoint(trial),
                "prefixes": self._home.below(PREFIXES) if plan.shares_prefix(trial.stage) else None,
                "checkpoint_seconds": plan.checkpoint_seconds,
                "hang_seconds": plan.hang_seconds,
                "keep_last": trial.stage == SEARCH,
            },
            "gang": {
                "workers": plan.workers,
                "cpus_per_worker": plan.cpus_per_worker,
                "gpus_per_worker": plan.gpus_per_worker,
                "storage": self._home.below(GANGS),
                "import_path": list(plan.import_path),
                "data_dir": plan.data_dir,
            },
        }

    def message(self, name: str, message: Message) -> bool:
        """Take a trial's message; False if the trial is to stop."""
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
            goes_on = self.protocol.report(trial, report)
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

    def lost(self, name: str, error: str) -> None:
        """A trial's actor has died, alone or with its node: the trial starts again."""
        trial = self.protocol.records.trials[name]
        if trial.status != RUNNING or self.cannot_go_on:
            return
        with self._going_on():
            if self._fault(trial, "actor lost", error):
                self.protocol.hand_out_again(trial)
            else:
                self._ended(trial)

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
    def _going_on(self) -> Iterator[None]:
        """End the run cleanly if the records cannot be written: nothing unrecorded may happen."""
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
        """Keep the last checkpoint of each method's candidates; only the winner's once it is chosen."""
        for name in sorted(self._with_checkpoint):
            other = self.protocol.records.trials.get(name)
            if other is None or (other.status != RUNNING and name not in self._kept(other)):
                self._home.clear(f"checkpoints/{name}")
                self._with_checkpoint.remove(name)

    def _kept(self, trial: TrialRecord) -> set[str]:
        arm = self.protocol.arm(trial)
        best = [arm.winner] if arm.winner_is_final else arm.candidates
        return {trial.name for trial in best if trial}

    def _checkpoint(self, trial: TrialRecord) -> str:
        return self._home.below("checkpoints", trial.name)


def _name(trial: Any) -> str:
    return trial.config["job"]["spec"]["name"]
