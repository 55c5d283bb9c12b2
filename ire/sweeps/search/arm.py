"""An arm: one method in a sweep, with the Optuna study that suggests its trials and the rungs that prune them.

Methods never see each other's values, so no method prunes or misleads another.
"""

from typing import Any

from optuna.storages import BaseStorage

from ire.methods.composed import Method
from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import DIVERGED, FINISHED, PRUNED, SEARCH, TrialRecord
from ire.sweeps.search.asha import Rungs
from ire.sweeps.search.ledger import Ledger
from ire.sweeps.search.optuna_study import MethodStudy
from ire.trial.report import Report
from ire.trial.spec import TrialSpec


class Arm(Ledger):
    """The trials of one method, its Optuna study and its rungs."""

    def __init__(self, plan: Plan, method: str, storage: BaseStorage) -> None:
        super().__init__(plan, method)
        search = plan.space.search
        self._study = MethodStudy(
            method,
            plan.space.dimensions(self.method),
            metric=plan.space.metric,
            sampler=search.sampler,
            storage=storage,
            sweep=plan.name + (f"/study{plan.study_number + 1}" if plan.study_number else ""),
            seed=plan.seed,
            startup_trials=search.startup_trials,
            rungs=search.rungs,
            points=plan.space.grid(self.method) if search.grid else _points(plan, self.method),
            only_points=search.grid,
            imported=plan.imported.of(method, plan.study_number) if plan.imported else (),
        )
        self._rungs = Rungs(search.rungs, search.reduction_factor)

    def widen(self, plan: Plan) -> None:
        """Continue the search in the wider ranges of `plan`."""
        self.set_plan(plan)
        self._study.widen(plan.space.dimensions(self.method))

    def coming(self) -> TrialSpec | None:
        """The trial that `next_search_trial` will return, if it is known in advance, as in a grid; else None."""
        number = len(self.search)
        points = self.plan.space.grid(self.method) if self.plan.space.search.grid else ()
        if number >= len(points):
            return None
        settings = self.plan.space.complete(self.method, points[number])
        return self.plan.search_trial(self.method.name, number, settings)

    def next_search_trial(self) -> TrialRecord:
        """Ask the Optuna study for the next search trial; requires `may_start`, and the caller passes it to `add`."""
        number = len(self.search)
        spec = self.plan.search_trial(self.method.name, number, self._study.suggest(number))
        return TrialRecord(spec=spec, stage=SEARCH, number=number)

    def restore(self, trial: TrialRecord) -> None:
        """Add a trial that was started before a resume."""
        if trial.stage == SEARCH:
            self._study.restore(trial.number, trial.spec.settings)
        self.add(trial)

    def verdict(self, trial: TrialRecord, report: Report) -> str | None:
        """The status with which a running trial ends at this report; None if it continues."""
        if report["diverged"]:
            if trial.stage == SEARCH:
                self._rungs.diverged(trial.name, report["step"])
            return DIVERGED
        metric = self.plan.space.metric
        if trial.stage == SEARCH and not self._rungs.goes_on(
            trial.name, report["step"], metric.cost(report[metric.name])
        ):
            return PRUNED
        return FINISHED if report["step"] >= trial.spec.horizon else None

    def ended(self, trial: TrialRecord) -> None:
        """Record the end of a trial here and in the Optuna study."""
        super().ended(trial)
        if trial.stage == SEARCH:
            self._study.tell(trial)


def _points(plan: Plan, method: Method) -> list[dict[str, Any]]:
    """The first points to try: published settings, the best of a warm start, and points known to be good."""
    points = plan.space.points(method)
    best = plan.imported.best(method.name, plan.space.metric, plan.study_number) if plan.imported else None
    if best is None or dict(best.settings) in points:
        return points
    return [points[0], dict(best.settings), *points[1:]]
