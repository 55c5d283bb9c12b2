"""The trials of one method so far, and what its budget still allows: arithmetic on its trials alone.

Both the sweep and the report use it, so that "over" and "winner" mean the same in both.
"""

from bisect import insort
from collections.abc import Iterable, Sequence
from typing import Any

from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import CONFIRM, FINISHED, RUNNING, SEARCH, TrialRecord
from ire.sweeps.search.seed_contest import Entry, SeedContest, at_rate


class Ledger:
    """The trials of one method, in the order in which they started."""

    def __init__(self, plan: Plan, method: str, trials: Iterable[TrialRecord] = ()) -> None:
        self.method, self.study = plan.method(method), plan.study_number
        self.set_plan(plan)
        self.search: list[TrialRecord] = []
        self.later: list[TrialRecord] = []
        """Trials of all stages after the search."""
        self._runs: dict[tuple[str, str, int | None], list[TrialRecord]] = {}  # the same trials, for contests
        self.candidates: list[TrialRecord] = []
        """The best finished search trials, best first, the earlier of equal ones first; by the space's metric, unless
        the grid of a preset selects by another."""
        self._running: dict[str, TrialRecord] = {}  # of the search
        self._spent_by_ended = 0
        for trial in trials:
            if trial.arm == method and trial.study == plan.study_number:
                self.add(trial)

    def set_plan(self, plan: Plan) -> None:
        """Continue with another plan of the study, with wider ranges and more trials."""
        self.plan = plan
        self._cap = plan.search_trials(self.method)
        self._most_expensive = plan.most_expensive_trial(self.method)

    @property
    def is_baseline(self) -> bool:
        """Whether the method is a baseline."""
        return self.plan.is_baseline(self.method)

    def add(self, trial: TrialRecord) -> TrialRecord:
        """Add a started trial, and its end if it has already ended."""
        if trial.stage != SEARCH:
            self.later.append(trial)
            runs = self._runs.setdefault((trial.stage, trial.variant, trial.origin), [])
            insort(runs, trial, key=lambda run: run.number)
            return trial
        self.search.append(trial)
        if trial.status == RUNNING:
            self._running[trial.name] = trial
        else:
            self._close(trial)
        return trial

    def ended(self, trial: TrialRecord) -> None:
        """Record the end of a trial."""
        if self._running.pop(trial.name, None):
            self._close(trial)

    def _close(self, trial: TrialRecord) -> None:
        self._spent_by_ended += trial.gradient_evaluations
        if trial.status == FINISHED:
            by = self.plan.space.selects
            best = sorted(
                [*self.candidates, trial], key=lambda other: (by.cost(other.final(by.name)), other.number)
            )
            self.candidates = best[: self.plan.candidates]

    # The search

    @property
    def spent(self) -> int:
        """Gradient evaluations of all search trials so far, including pruned ones."""
        return self._spent_by_ended + sum(trial.gradient_evaluations for trial in self._running.values())

    @property
    def promised(self) -> int:
        """`spent`, counting every running trial as if it ran to the horizon."""
        return self._spent_by_ended + sum(
            self.plan.cost(self.method, trial.spec.settings, trial.spec.horizon)
            for trial in self._running.values()
        )

    @property
    def may_start(self) -> bool:
        """Whether one more search trial is allowed now, whatever its cost within the space."""
        if len(self.search) >= self._cap:
            return False
        return self.promised + self._most_expensive <= self.plan.budget

    def may_start_in(self, plan: Plan) -> bool:
        """Whether another plan of the study, with more trials, would allow one more search trial."""
        most_expensive = plan.most_expensive_trial(self.method)
        return (
            len(self.search) < plan.search_trials(self.method)
            and self.promised + most_expensive <= plan.budget
        )

    @property
    def search_is_over(self) -> bool:
        """Whether no search trial is running or will start."""
        return not self.may_start and not self._running

    # After the search

    @property
    def confirmation(self) -> SeedContest | None:
        """The contest of the candidates; None before the search is over, without candidates, or if none is planned."""
        if not self.plan.confirm_seeds or not self.search_is_over or not self.candidates:
            return None
        rescanned = (1.0, *self.plan.curve_lr) if self.plan.rules > 1 else (1.0,)
        entries = [
            Entry(
                method=trial.method,
                settings=at_rate(trial.spec.settings, lr),
                origin=trial.number,
                variant=f"lr{lr:g}" if lr != 1 else "",
            )
            for trial in self.candidates
            for lr in rescanned
        ]
        return self.contest(CONFIRM, entries, flatness=True)

    def contest(
        self,
        stage: str,
        entries: Sequence[Entry],
        *,
        horizon_factor: float = 1.0,
        flatness: bool = False,
        name: str = "",
    ) -> SeedContest:
        """A contest of this method with its runs so far: see `SeedContest`."""
        return SeedContest(
            self.plan,
            self.method.name,
            stage,
            entries,
            self._runs,
            horizon_factor=horizon_factor,
            flatness=flatness,
            name=name,
        )

    @property
    def winner(self) -> TrialRecord | None:
        """The search trial whose settings represent the method: the best so far until `confirmation` has chosen."""
        contest = self.confirmation
        chosen = contest.chosen if contest else None
        if chosen is None:
            return self.candidates[0] if self.candidates else None
        return next(trial for trial in self.candidates if trial.number == chosen.origin)

    @property
    def settings(self) -> dict[str, Any] | None:
        """The settings that represent the method: the winner's, with the learning rate chosen by `--curve-lr`."""
        contest = self.confirmation
        if contest is not None and contest.chosen is not None:
            return dict(contest.chosen.settings)
        return dict(self.winner.spec.settings) if self.winner else None

    @property
    def mean_cost(self) -> float | None:
        """Mean final cost of the finished confirm runs in the space's metric, lower is better; None without any."""
        metric = self.plan.space.metric
        costs = [metric.cost(run.final(metric.name)) for run in self.confirm if run.status == FINISHED]
        return sum(costs) / len(costs) if costs else None

    @property
    def gradients_per_step(self) -> float:
        """Mean gradient evaluations per step of the confirm runs so far; infinity before there are any."""
        runs = [run for run in self.confirm if run.step]
        return sum(run.gradient_evaluations / run.step for run in runs) / len(runs) if runs else float("inf")

    @property
    def winner_is_final(self) -> bool:
        """Whether no future trial can change `winner`."""
        contest = self.confirmation
        return self.search_is_over if contest is None else contest.chosen is not None

    @property
    def confirm(self) -> list[TrialRecord]:
        """The winner's confirm runs that have started, by seed."""
        contest = self.confirmation
        return contest.measured if contest else []
