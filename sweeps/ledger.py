"""What one method has done so far, and what its caps and budget still allow: arithmetic on its trials alone.

The sweep decides by it, and the report reads it, so that both mean the same by "over" and by "winner".
"""

from collections.abc import Iterable

from sweeps.plan import Plan
from sweeps.records import FINISHED, RUNNING, SEARCH, TrialRecord
from trainables.methods import parse_method


class Ledger:
    """The trials of one method, in the order in which they started."""

    def __init__(self, plan: Plan, method: str, trials: Iterable[TrialRecord] = ()) -> None:
        self.method = parse_method(method)
        self._plan = plan
        self._most_expensive = plan.most_expensive_trial(self.method)
        self.search: list[TrialRecord] = []
        self.confirm: list[TrialRecord] = []
        for trial in trials:
            if trial.method == method:
                self.add(trial)

    def add(self, trial: TrialRecord) -> TrialRecord:
        """Enter a trial that has started."""
        (self.search if trial.stage == SEARCH else self.confirm).append(trial)
        return trial

    @property
    def spent(self) -> int:
        """Gradient evaluations of all search trials so far, pruned ones included."""
        return sum(trial.gradient_evaluations for trial in self.search)

    @property
    def promised(self) -> int:
        """`spent`, with every running trial counted as if it went to the horizon."""
        return sum(
            self.method.gradient_evaluations(trial.spec.settings, trial.spec.horizon)
            if trial.status == RUNNING
            else trial.gradient_evaluations
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
