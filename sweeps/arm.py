"""One method's part in a sweep: its study, its rungs, its budget, its winner and its confirm runs.

Methods never see each other's values, so none prunes or misleads another.
"""

from typing import Any

from optuna.storages import BaseStorage

from sweeps.plan import Plan
from sweeps.records import CONFIRM, DIVERGED, FINISHED, PRUNED, RUNNING, SEARCH, TrialRecord
from sweeps.rungs import Rungs
from sweeps.study import MethodStudy
from trainables.methods import parse_method


class Arm:
    """The search and confirm stages of one method."""

    def __init__(self, plan: Plan, method: str, storage: BaseStorage) -> None:
        self.method = parse_method(method)
        self._plan = plan
        search = plan.space.search
        self._study = MethodStudy(
            method,
            plan.space.dimensions(self.method),
            storage=storage,
            sweep=plan.name,
            seed=plan.seed,
            startup_trials=search.startup_trials,
            rungs=search.rungs,
        )
        self._rungs = Rungs(search.rungs, search.reduction_factor)
        self._most_expensive = plan.most_expensive_trial(self.method)
        self.search: list[TrialRecord] = []
        self.confirm: list[TrialRecord] = []

    # What comes next

    @property
    def spent(self) -> int:
        """Gradient evaluations of all search trials so far, pruned ones included."""
        return sum(trial.gradient_evaluations for trial in self.search)

    @property
    def promised(self) -> int:
        """`spent`, with every running trial counted as if it went to the horizon."""
        return sum(
            self._full_cost(trial) if trial.status == RUNNING else trial.gradient_evaluations
            for trial in self.search
        )

    @property
    def may_start(self) -> bool:
        """Whether cap and budget allow one more search trial now, whatever it turns out to cost."""
        if len(self.search) >= self._plan.trials:
            return False
        return self.promised + self._most_expensive <= self._plan.budget

    @property
    def search_is_over(self) -> bool:
        """Whether no search trial runs and none will."""
        return not self.may_start and all(trial.status != RUNNING for trial in self.search)

    @property
    def winner(self) -> TrialRecord | None:
        """The finished search trial of the lowest final validation loss; the earlier one of equals."""
        finished = [trial for trial in self.search if trial.status == FINISHED]
        return min(finished, key=lambda trial: trial.val_loss, default=None)

    @property
    def confirm_runs_left(self) -> int:
        """Confirm runs that have not started; none before the search is over or without a winner."""
        if not self.search_is_over or self.winner is None:
            return 0
        return self._plan.confirm_seeds - len(self.confirm)

    @property
    def is_over(self) -> bool:
        """Whether nothing of this method runs or will."""
        running = any(trial.status == RUNNING for trial in self.confirm)
        return self.search_is_over and not self.confirm_runs_left and not running

    def next_search_trial(self) -> TrialRecord:
        """The next trial of the search; `may_start` must hold."""
        number = len(self.search)
        spec = self._plan.trial(self.method.name, SEARCH, number, self._study.suggest(number))
        return self._add(TrialRecord(spec=spec, stage=SEARCH, number=number))

    def next_confirm_trial(self) -> TrialRecord:
        """The winner on the next fresh seed; `confirm_runs_left` must hold."""
        number = len(self.confirm)
        spec = self._plan.trial(self.method.name, CONFIRM, number, dict(self.winner.spec.settings))
        return self._add(TrialRecord(spec=spec, stage=CONFIRM, number=number))

    # What has happened

    def restore(self, trial: TrialRecord) -> None:
        """Take in a trial that was started before a resume."""
        if trial.stage == SEARCH:
            self._study.restore(trial.number, trial.spec.settings)
        self._add(trial)

    def verdict(self, trial: TrialRecord, report: dict[str, Any]) -> str | None:
        """The status with which a running trial ends at this report; None if it goes on."""
        if report["diverged"]:
            if trial.stage == SEARCH:
                self._rungs.diverged(trial.name, report["step"])
            return DIVERGED
        if trial.stage == SEARCH and not self._rungs.goes_on(trial.name, report["step"], report["val_loss"]):
            return PRUNED
        return FINISHED if report["step"] >= trial.spec.horizon else None

    def ended(self, trial: TrialRecord) -> None:
        """Tell the study how a trial ended."""
        if trial.stage == SEARCH:
            self._study.tell(trial)

    def _add(self, trial: TrialRecord) -> TrialRecord:
        (self.search if trial.stage == SEARCH else self.confirm).append(trial)
        return trial

    def _full_cost(self, trial: TrialRecord) -> int:
        return self.method.gradient_evaluations(trial.spec.settings, trial.spec.horizon)
