"""The thin shell between the protocol and Ray Tune: a searcher and a scheduler that ask it, and the run.

Both dispatch on the method of a trial: the protocol holds an Optuna study and rungs of its own for each.
"""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.callback import Callback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from sweeps.protocol import Protocol
from sweeps.records import FAILED, RUNNING, TrialRecord
from sweeps.watch import Watcher
from trainables.gang import GangTrainable


class ProtocolSearcher(Searcher):
    """Hands the protocol's trials to Tune, never more than `slots` at a time."""

    def __init__(self, run: "TuneRun", slots: int) -> None:
        super().__init__()
        self._run, self._slots = run, slots

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        protocol = self._run.protocol
        if len(protocol.running) >= self._slots:
            return None
        trial = protocol.next_trial()
        if trial is None:
            return Searcher.FINISHED if protocol.is_over else None
        return self._run.start(trial)

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
        goes_on = self._run.message(trial.config["job"]["spec"]["name"], result)
        return TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        self._run.lost(trial.config["job"]["spec"]["name"], str(trial.get_error()))


class Ticker(Callback):
    """Lets the watchers act on time passing, in Tune's own loop."""

    def __init__(self, run: "TuneRun") -> None:
        self._run = run

    def on_step_end(self, iteration: int, trials: list, **info: Any) -> None:
        for watcher in self._run.watchers:
            watcher.tick()


class TuneRun:
    """One run of a protocol on the Ray cluster that is connected; ends when it is over or interrupted."""

    def __init__(self, protocol: Protocol, folder: Path, *, slots: int, watchers: Sequence[Watcher]) -> None:
        self.protocol = protocol
        self._folder, self._slots, self.watchers = folder, slots, watchers

    def __reduce__(self) -> tuple:
        """Tune pickles its searcher, scheduler and callbacks, for a restore that we never ask for: as nothing."""
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
        tuner = tune.Tuner(
            # a placement group must ask for something, and every CPU is the workers'
            tune.with_resources(GangTrainable, {"memory": 1}),
            tune_config=tune.TuneConfig(
                search_alg=ProtocolSearcher(self, self._slots),
                scheduler=ProtocolScheduler(self),
                num_samples=-1,
                reuse_actors=True,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(self._folder),
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
                callbacks=[Ticker(self)],
            ),
        )
        for trial in self.protocol.settled:
            self._ended(trial)
        tuner.fit()

    def start(self, trial: TrialRecord) -> dict[str, Any]:
        """The Tune config of a trial that starts now."""
        for watcher in self.watchers:
            watcher.started(trial)
        plan = self.protocol.plan
        return {
            "job": {
                "spec": trial.spec.to_dict(),
                "checkpoint": str(self._checkpoint(trial)),
                "checkpoint_seconds": plan.checkpoint_seconds,
            },
            "gang": {
                "workers": plan.workers,
                "cpus_per_worker": plan.cpus_per_worker,
                "gpus_per_worker": plan.gpus_per_worker,
                "max_failures": plan.max_failures,
                "storage": str(self._folder / "gangs"),
                "import_path": list(plan.import_path),
                "data_dir": plan.data_dir,
            },
        }

    def message(self, name: str, message: dict[str, Any]) -> bool:
        """Take a trial's message; False if the trial is to stop."""
        trial = self.protocol.records.trials[name]
        for report in message["reports"]:
            diagnostics = report.pop("diagnostics")
            known = report["step"] <= trial.step
            goes_on = self.protocol.report(trial, report)
            if not known:
                for watcher in self.watchers:
                    watcher.reported(trial, report, diagnostics)
            if not goes_on:
                break
        if "error" in message and trial.status == RUNNING:
            self.protocol.end(trial, FAILED, message["error"])
        if trial.status != RUNNING:
            self._ended(trial)
        return trial.status == RUNNING

    def lost(self, name: str, error: str) -> None:
        """A trial's actor has died."""
        trial = self.protocol.records.trials[name]
        if trial.status == RUNNING:
            self.protocol.end(trial, FAILED, error)
            self._ended(trial)

    def _ended(self, trial: TrialRecord) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._checkpoint(trial).unlink()
        for watcher in self.watchers:
            watcher.ended(trial)

    def _checkpoint(self, trial: TrialRecord) -> Path:
        return self._folder / "checkpoints" / f"{trial.name}.pt"


def _name(trial: Any) -> str:
    return trial.config["job"]["spec"]["name"]
