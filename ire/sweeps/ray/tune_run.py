"""The thin shell between the protocol and Ray Tune: a searcher and a scheduler that query it, and the run.

Both dispatch on the method of a trial; the protocol has an Optuna study and rungs for each method.
"""

# Ray's functions are typed in part.
# pyright: reportUnknownMemberType=false

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, cast

from ray import tune
from ray.tune.callback import Callback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from ire.sweeps.ray.held_function import pickled
from ire.sweeps.ray.interruption import handlers_kept
from ire.sweeps.ray.local_cluster import ClusterLost
from ire.sweeps.records.experiment_home import ExperimentHome
from ire.sweeps.records.records import RUNNING, TIMING
from ire.sweeps.running.run import Run
from ire.sweeps.search.protocol import Protocol
from ire.sweeps.watch.watcher import Watcher
from trainables.functions.function import TrainingFunction, load_workload
from trainables.gang.job import Config, Gang, Job
from trainables.gang.ray_internals import keep_idle_actors
from trainables.gang.trainable import GangTrainable

GANGS = "gangs"
"""Ray Train's storage for gangs; never read."""

COUNT_SECONDS = 5.0
"""Seconds between counts of the cluster's nodes."""


class ProtocolSearcher(Searcher):
    """Passes the protocol's trials to Tune, never more than there are slots."""

    def __init__(self, run: "TuneRun") -> None:
        super().__init__()
        self._run = run

    def suggest(self, trial_id: str) -> Any:
        return self._run.next_job()

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: the scheduler handles it."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: a sweep is resumed from its records."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, for the same reason."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing, for the same reason."""


class ProtocolScheduler(FIFOScheduler):
    """Carries every message of a trial to the protocol, and its verdict back."""

    def __init__(self, run: "TuneRun") -> None:
        super().__init__()
        self._run = run

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        self._run.keep_gangs(tune_controller, trial.placement_group_factory)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        (message,) = result["messages"]
        goes_on = self._run.message(trial.config["job"]["spec"]["name"], message)
        return TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        self._run.end_idle_gangs(tune_controller, trial.placement_group_factory)
        error = trial.get_error()  # None if the process vanished without an error
        self._run.lost(trial.config["job"]["spec"]["name"], str(error or "its process or its node has died"))


class Ticker(Callback):
    """Lets the run act periodically, in Tune's own loop."""

    def __init__(self, run: "TuneRun") -> None:
        self._run = run

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._run.tick()


class Interrupted(Stopper):
    """Ends Tune's run cleanly when the sweep cannot continue."""

    def __init__(self, run: "TuneRun") -> None:
        self._run = run

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._run.cannot_go_on is not None


class TuneRun(Run):
    """One run of a protocol on the connected Ray cluster; ends when the protocol is over or interrupted."""

    def __init__(
        self,
        protocol: Protocol,
        home: ExperimentHome,
        *,
        slots: Callable[[], int],
        watchers: Sequence[Watcher],
    ) -> None:
        """`slots` returns how many trials the cluster can run at a time; it is called again every few seconds.

        It raises `ClusterLost` if the cluster cannot run any trial any more.
        """
        super().__init__(protocol, home, watchers=watchers)
        self._count_slots, self._slots, self._counted = slots, slots(), time.monotonic()
        self._idle_gangs = 0
        """How many gangs Tune keeps while no trial waits for them."""
        plan = protocol.plan
        workload = load_workload(plan.task, plan.import_path)
        found = workload.sources if isinstance(workload, TrainingFunction) else None
        self._sources = asdict(found) if found else None
        """Sources that workers import instead of the files in the script's folder, which may have changed."""
        function = pickled(plan.task)
        self._trainable: Any = (
            GangTrainable if function is None else tune.with_parameters(GangTrainable, function=function)
        )

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Tune pickles its searcher, scheduler and callbacks for a restore that is never used: pickle nothing."""
        return object, ()

    def __deepcopy__(self, memo: dict[int, Any]) -> "TuneRun":
        return self

    def run(self) -> None:
        """Run until every trial has ended, or until SIGINT."""
        # Read when Tune starts: no CSV, JSON and TensorBoard writers, no tables, no frequent pickles of a state
        # that is never read.
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
        os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
        os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "3600"
        tuner = tune.Tuner(
            # a placement group must request something, and all CPUs belong to the workers
            tune.with_resources(self._trainable, {"memory": 1}),
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
        self.begin()
        with handlers_kept():
            tuner.fit()

    def keep_gangs(self, controller: Any, resources: Any) -> None:
        """Keep a gang for every slot, also while no trial waits for one, so that the next stage begins at once.

        Only one in the quiet pass, which trains one trial at a time on a machine where nothing else runs.
        """
        is_quiet = any(trial.stage == TIMING for trial in self.protocol.running)
        self._keep(1 if is_quiet else self._slots, controller, resources)

    def end_idle_gangs(self, controller: Any, resources: Any) -> None:
        """End the gangs that no trial uses: they may have died with the one that was lost, which nobody notices."""
        self._keep(0, controller, resources)

    def _keep(self, gangs: int, controller: Any, resources: Any) -> None:
        keep_idle_actors(controller, resources, gangs - self._idle_gangs)
        self._idle_gangs = gangs

    def close(self) -> None:
        """Close all watchers; remove Ray Train's storage for gangs."""
        super().close()
        self._home.clear(GANGS)

    def tick(self) -> None:
        """Count the slots again from time to time, since nodes may have joined or left."""
        if time.monotonic() - self._counted >= COUNT_SECONDS:
            try:
                self._slots = self._count_slots()
            except ClusterLost as lost:
                self._break_off(f"the Ray cluster of this machine is lost: {lost}")
            self._counted = time.monotonic()
        super().tick()

    def next_job(self) -> Config | str | None:
        """The Tune config of the next trial; None if none can start now, FINISHED if no more will start."""
        if self.cannot_go_on or len(self.protocol.running) >= self._slots:
            return None
        trial = self.next_trial()
        if trial is None:
            with self._going_on():
                return Searcher.FINISHED if self.cannot_go_on is None and self.protocol.is_over else None
            return None
        plan = self.protocol.plan
        job = {"spec": trial.spec.to_dict(), "hang_seconds": plan.hang_seconds, **self.where(trial)}
        gang = Gang(
            workers=plan.workers,
            cpus_per_worker=plan.cpus_per_worker,
            gpus_per_worker=plan.gpus_per_worker,
            storage=self._home.below(GANGS),
            import_path=list(plan.import_path),
            sources=self._sources,
            data_dir=plan.data_dir,
        )
        return Config(job=cast(Job, job), gang=gang)

    def lost(self, name: str, error: str) -> None:
        """Restart a trial whose actor died, alone or with its node."""
        trial = self.protocol.records.trials[name]
        if trial.status != RUNNING or self.cannot_go_on:
            return
        with self._going_on():
            if self._fault(trial, "actor lost", error):
                self.protocol.hand_out_again(trial)
            else:
                self._ended(trial)


def _name(trial: Any) -> str:
    return trial.config["job"]["spec"]["name"]
