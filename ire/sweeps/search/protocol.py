"""The course of a sweep as a state machine without Ray: which trial comes next, and whether it goes on.

Every question is answered from the plan and the records alone, and every event is recorded before it is acted
upon. So a sweep is resumed by building this object from its folder, and tested without a cluster.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import FAILED, RUNNING, SEARCH, Records, TrialRecord
from ire.sweeps.search.arm import Arm
from ire.sweeps.search.optuna_study import fresh_storage
from ire.sweeps.search.shared_prefixes import Prefixes
from ire.sweeps.search.stages import baseline_is_settled, best_baseline, contests, later_runs
from ire.trial.spec import TrialSpec


class Protocol:
    """The arms of a sweep and their turns. `folder` is the experiment's; its records are replayed first."""

    def __init__(self, plan: Plan, folder: Path, *, publish: Callable[[], None] = lambda: None) -> None:
        self.plan = plan
        self.records = Records(folder, publish=publish)
        self._faults: Counter[str] = Counter()  # of this run: a resume is a new beginning
        storage = fresh_storage(folder / "optuna.log")
        self.arms = {method: Arm(plan, method, storage) for method in plan.methods}
        self._running: dict[str, TrialRecord] = {}
        self._prefixes = Prefixes()
        self.interrupted: list[TrialRecord] = []
        """Trials that were running when the records ended; they are handed out first."""
        self.settled: list[TrialRecord] = []
        """Trials whose last report was recorded, but not their end: they were ended while replaying."""
        self._replay()

    def _replay(self) -> None:
        verdicts = {}
        for event in self.records.replay():
            arm = self.arms[event.trial.arm]
            match event.kind:
                case "start":
                    arm.restore(event.trial)
                case "report":
                    verdicts[event.trial.name] = arm.verdict(event.trial, event.report)
                case "end":
                    arm.ended(event.trial)
        for trial in self.records.trials.values():
            if trial.status != RUNNING:
                continue
            if verdicts.get(trial.name):  # the kill came between the last report and the end
                self.end(trial, verdicts[trial.name])
                self.settled.append(trial)
            else:
                self.interrupted.append(trial)

    # Questions

    @property
    def is_over(self) -> bool:
        """Whether nothing runs and nothing will."""
        if any(arm.may_start for arm in self.arms.values()):
            return False
        if self._running or self.interrupted:
            return False
        return self._next_after_search() is None

    @property
    def running(self) -> list[TrialRecord]:
        """Trials that were handed out and have not ended."""
        return list(self._running.values())

    def work(self) -> tuple[int, int]:
        """Gradient evaluations done, and the most that the whole sweep can come to."""
        done = total = 0
        best = best_baseline(self.arms.values()) if baseline_is_settled(self.arms.values()) else None
        for arm in self.arms.values():
            done += arm.spent + sum(trial.gradient_evaluations for trial in arm.later)
            total += arm.spent if arm.search_is_over else self.plan.budget
            is_curve = arm is best if best else arm.method.is_baseline
            horizons = later_runs(self.plan, arm, is_curve=is_curve)
            total += round(self.plan.most_expensive_trial(arm.method) * sum(horizons))
        return done, max(done, total)

    def _waits(self, spec: TrialSpec | None, stage: str) -> bool:
        """Whether a running trial is about to train the steps that this one could begin with."""
        return (
            spec is not None
            and self.plan.shares_prefix(stage)
            and self._prefixes.waits(spec, self._running.values())
        )

    # Events

    def next_trial(self) -> TrialRecord | None:
        """The next trial to run, recorded as started; None if there is none now, or none any more (`is_over`).

        Interrupted trials first; then search trials, the method with the fewest before the others; then, of methods
        whose search is over, confirm runs, the curve and the controls, the contest with the fewest first.
        """
        if self.interrupted:
            trial = self.interrupted.pop(0)
            self._running[trial.name] = trial
            return trial
        searching = [
            arm for arm in self.arms.values() if arm.may_start and not self._waits(arm.coming(), SEARCH)
        ]
        if searching:
            trial = min(searching, key=lambda arm: len(arm.search)).next_search_trial()
        else:
            trial = self._next_after_search()
        if trial is not None:
            self.records.start(trial)
            self.arms[trial.arm].add(trial)
            self._running[trial.name] = trial
        return trial

    def _next_after_search(self) -> TrialRecord | None:
        for stage in contests(self.plan, self.arms):
            waiting = [
                (len(contest.selecting) + len(contest.measured), index, trial)
                for index, contest in enumerate(stage)
                if (trial := contest.next_trial()) and not self._waits(trial.spec, trial.stage)
            ]
            if waiting:
                return min(waiting)[2]
        return None

    def report(self, trial: TrialRecord, report: dict[str, Any]) -> bool:
        """Record a report; False if the trial has ended with it. One that is known already changes nothing."""
        if trial.status == RUNNING and trial.is_new(report):
            verdict = self.arms[trial.arm].verdict(trial, report)
            self.records.report(trial, report, verdict)
            if self.plan.shares_prefix(trial.stage):
                self._prefixes.learn(trial)
            if verdict:
                self.end(trial, verdict)
        return trial.status == RUNNING

    def fault(self, trial: TrialRecord, kind: str, cause: str) -> bool:
        """Record what befell a running trial; False if it was once too often, and the trial has failed by it."""
        self.records.fault(trial, kind, cause)
        self._faults[trial.name] += 1
        if self._faults[trial.name] > self.plan.max_failures:
            times = self._faults[trial.name]
            self.end(trial, FAILED, f"it was interrupted {times} times, the last time by: {kind}: {cause}")
        return trial.status == RUNNING

    def hand_out_again(self, trial: TrialRecord) -> None:
        """Nobody works on a running trial any more: it is the next to be handed out."""
        del self._running[trial.name]
        self.interrupted.append(trial)

    def end(self, trial: TrialRecord, status: str, error: str | None = None) -> None:
        """Record the end of a running trial and let its method learn from it."""
        self.records.end(trial, status, error)
        self._running.pop(trial.name, None)
        self.arms[trial.arm].ended(trial)
