"""MLflow: an experiment for each sweep, a run for each trial."""

import time

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from ire.foreign_text import in_one_line
from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import FINISHED, PRUNED, TIMING, TrialRecord
from ire.sweeps.watch.tags import identity, scalars
from ire.sweeps.watch.watcher import Watcher
from ire.trial.report import FlatFraction, Report


class MlflowLogger(Watcher):
    """Logs to the server that MLflow's own variable MLFLOW_TRACKING_URI names."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._client = plan, MlflowClient()
        self._experiment: str | None = None
        self._runs: dict[str, str] = {}

    def started(self, trial: TrialRecord) -> None:
        if trial.stage == TIMING:
            return
        run = self._client.create_run(self._experiment_id(), run_name=trial.name, tags={"arm": trial.arm})
        self._runs[trial.name] = run.info.run_id
        settings = [
            Param(name, in_one_line(value))
            for name, value in (identity(trial) | dict(trial.spec.settings)).items()
        ]
        self._client.log_batch(run.info.run_id, params=settings)

    def reported(self, trial: TrialRecord, report: Report, flat_fractions: dict[str, FlatFraction]) -> None:
        if (run := self._runs.get(trial.name)) is None:
            return
        now = round(1000 * time.time())
        found = [Metric(name, value, now, report["step"]) for name, value in scalars(report).items()]
        self._client.log_batch(run, metrics=found)

    def ended(self, trial: TrialRecord) -> None:
        if (run := self._runs.pop(trial.name, None)) is not None:
            self._client.set_tag(run, "status", trial.status)
            self._client.set_terminated(run, "FINISHED" if trial.status in (FINISHED, PRUNED) else "FAILED")

    def closed(self) -> None:
        for run in self._runs.values():
            self._client.set_terminated(run, "KILLED")
        self._runs.clear()

    def _experiment_id(self) -> str:
        if self._experiment is None:
            known = self._client.get_experiment_by_name(self._plan.name)
            self._experiment = (
                known.experiment_id if known else self._client.create_experiment(self._plan.name)
            )
        return self._experiment
