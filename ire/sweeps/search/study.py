"""One study of a sweep: a search for every method and the confirm runs of the winners.

A study has its own seeds and its own split of the training data, and shares only the plan with other studies. So the
results of studies are independent samples of the outcome of tuning a method.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from optuna.storages import BaseStorage

from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import SEARCH, TrialRecord
from ire.sweeps.search.arm import Arm
from ire.sweeps.search.stages import baseline_is_settled, contests, curve_baselines, later_runs
from ire.sweeps.search.widening import Widening, due_widening, widened
from ire.trial.spec import TrialSpec

Waits = Callable[[TrialSpec | None, str], bool]
"""Whether a trial of that stage should wait for a prefix that a running trial will store."""


class Study:
    """The arms of one study, which take turns."""

    def __init__(self, plan: Plan, number: int, storage: BaseStorage) -> None:
        """`plan` is the sweep's; studies count from 0."""
        self.plan, self.number = plan.study(number), number
        self.widenings: list[Widening] = []
        self.arms: Mapping[str, Arm] = {method: Arm(self.plan, method, storage) for method in plan.methods}

    @property
    def may_search(self) -> bool:
        """Whether any method may still start a search trial, possibly in wider ranges."""
        return any(arm.may_start for arm in self.arms.values()) or self._due_widening() is not None

    def _due_widening(self) -> Widening | None:
        return due_widening(self.plan, self.arms, self.widenings)

    def widen(self, widening: Widening) -> None:
        """Continue in wider ranges, with more trials for every method."""
        self.widenings.append(widening)
        self.plan = widened(self.plan, [widening])
        for arm in self.arms.values():
            arm.widen(self.plan)

    def next_trial(self, waits: Waits) -> TrialRecord | None:
        """The trial to start next; None if none can start now.

        Search trials come first, that of the method with the fewest before the others. For methods whose search is
        over, confirm runs, curves and controls follow, in each stage the contest with the fewest runs first.
        """
        widening = self._due_widening()
        if widening is not None:
            self.widen(widening)
        searching = [arm for arm in self.arms.values() if arm.may_start and not waits(arm.coming(), SEARCH)]
        if searching:
            trial = min(searching, key=lambda arm: len(arm.search)).next_search_trial()
            return trial if widening is None else replace(trial, widened=widening.to_dict())
        return self.next_after_search(waits)

    def next_after_search(self, waits: Waits) -> TrialRecord | None:
        """The next run after the search; None if none can start now.

        If searches may widen their ranges, no such run starts before every search is over.
        """
        if self.plan.widen and not all(arm.search_is_over for arm in self.arms.values()):
            return None
        for stage in contests(self.plan, self.arms):
            waiting = [
                (len(contest.selecting) + len(contest.measured), index, trial)
                for index, contest in enumerate(stage)
                if (trial := contest.next_trial()) and not waits(trial.spec, trial.stage)
            ]
            if waiting:
                return min(waiting)[2]
        return None

    def work(self) -> tuple[int, int]:
        """Gradient evaluations done, and the maximum for the study."""
        done = total = 0
        for name, horizons in self.later_horizons().items():
            arm = self.arms[name]
            done += arm.spent + sum(trial.gradient_evaluations for trial in arm.later)
            total += arm.spent if arm.search_is_over else self.plan.budget
            total += round(self.plan.most_expensive_trial(arm.method) * sum(horizons))
        return done, max(done, total)

    def later_horizons(self) -> dict[str, list[float]]:
        """The horizons of at most all runs after the search, by method, in multiples of the task's horizon."""
        arms = self.arms.values()
        on_curve = curve_baselines(self.plan, arms) if baseline_is_settled(arms) else None
        return {
            name: later_runs(
                self.plan, arm, is_curve=arm.is_baseline if on_curve is None else arm in on_curve
            )
            for name, arm in self.arms.items()
        }
