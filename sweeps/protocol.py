"""The course of a sweep as a state machine without Ray: which trial comes next, and whether it goes on.

Every question is answered from the plan and the records alone, and every event is recorded before it is acted
upon. So a sweep is resumed by building this object from its folder, and tested without a cluster.
"""

from pathlib import Path
from typing import Any

from sweeps.arm import Arm
from sweeps.plan import Plan
from sweeps.records import RUNNING, Records, TrialRecord
from sweeps.study import fresh_storage


class Protocol:
    """The arms of a sweep and their turns. `folder` is the experiment's; its records are replayed first."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.records = Records(folder)
        storage = fresh_storage(folder / "optuna.log")
        self.arms = {method: Arm(plan, method, storage) for method in plan.methods}
        self.interrupted: list[TrialRecord] = []
        """Trials that were running when the records ended; they are handed out first."""
        self.settled: list[TrialRecord] = []
        """Trials whose last report was recorded, but not their end: they were ended while replaying."""
        self._replay()

    def _replay(self) -> None:
        verdicts = {}
        for event in self.records.replay():
            arm = self.arms[event.trial.method]
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
        return all(arm.is_over for arm in self.arms.values())

    @property
    def running(self) -> list[TrialRecord]:
        """Trials that were handed out and have not ended."""
        trials = self.records.trials.values()
        return [trial for trial in trials if trial.status == RUNNING and trial not in self.interrupted]

    def work(self) -> tuple[int, int]:
        """Gradient evaluations done, and the most that the whole sweep can come to."""
        done = total = 0
        for arm in self.arms.values():
            done += arm.spent + sum(trial.gradient_evaluations for trial in arm.confirm)
            total += arm.spent if arm.search_is_over else self.plan.budget
            if not arm.search_is_over or arm.winner is not None:
                total += self.plan.confirm_seeds * self.plan.most_expensive_trial(arm.method)
        return done, max(done, total)

    # Events

    def next_trial(self) -> TrialRecord | None:
        """The next trial to run, recorded as started; None if there is none now, or none any more (`is_over`).

        Interrupted trials first; then search trials, the method with the fewest before the others; then confirm
        runs of methods whose search is over.
        """
        if self.interrupted:
            return self.interrupted.pop(0)
        searching = [arm for arm in self.arms.values() if arm.may_start]
        confirming = [arm for arm in self.arms.values() if arm.confirm_runs_left]
        if searching:
            trial = min(searching, key=lambda arm: len(arm.search)).next_search_trial()
        elif confirming:
            trial = min(confirming, key=lambda arm: len(arm.confirm)).next_confirm_trial()
        else:
            return None
        self.records.start(trial)
        return trial

    def report(self, trial: TrialRecord, report: dict[str, Any]) -> bool:
        """Record a report; False if the trial has ended with it. One that is known already changes nothing."""
        if trial.status == RUNNING and self.records.report(trial, report):
            verdict = self.arms[trial.method].verdict(trial, report)
            if verdict:
                self.end(trial, verdict)
        return trial.status == RUNNING

    def end(self, trial: TrialRecord, status: str, error: str | None = None) -> None:
        """Record the end of a running trial and let its method learn from it."""
        self.records.end(trial, status, error)
        self.arms[trial.method].ended(trial)
