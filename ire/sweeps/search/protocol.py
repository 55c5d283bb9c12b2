"""The course of a sweep as a state machine without Ray: which trial comes next, and whether it continues.

Every decision follows from the plan and the records alone, and every event is recorded before it takes effect.
So a sweep is resumed by building this object from its folder, and tested without a cluster.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from ire.invalid_input import InvalidInput
from ire.sweeps.plan.plan import Plan
from ire.sweeps.plan.trust import check_methods
from ire.sweeps.records.records import CONFIRM, CONTROL, FAILED, RUNNING, Records, TrialRecord
from ire.sweeps.search.arm import Arm
from ire.sweeps.search.optuna_study import fresh_storage
from ire.sweeps.search.shared_prefixes import Prefixes
from ire.sweeps.search.study import Study
from ire.sweeps.search.timing import timing_turns
from ire.sweeps.search.widening import Widening
from ire.trial.report import NO_MASK, FlatFraction, Report
from ire.trial.spec import TrialSpec


class Protocol:
    """The studies of a sweep, which take turns. Starts by replaying the records in `folder`, the experiment's."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        *,
        publish: Callable[[], None] = lambda: None,
        check: Callable[[Records], None] = lambda _: None,
        undecided: Callable[[Plan, Records], bool] = lambda plan, records: False,
    ) -> None:
        """`check` inspects the recorded runs before anything is repaired or started, and may raise.

        `undecided` says whether another study is needed when all studies so far are over (`--until-decided`).
        """
        self.plan = plan
        self.records = Records(folder, publish=publish)
        self._faults: Counter[str] = Counter()  # of this run: a resume starts counting again
        self._storage, self._undecided = fresh_storage(folder / "optuna.log"), undecided
        self._decided_at = 0  # number of studies with which the verdict was clear
        self.studies = [Study(plan, number, self._storage) for number in range(plan.studies)]
        self._running: dict[str, TrialRecord] = {}
        self._prefixes = Prefixes()
        self.interrupted: list[TrialRecord] = []
        """Trials that were running when the records ended; they start first."""
        self.settled: list[TrialRecord] = []
        """Trials that the replay ended, because their last report was recorded but not their end."""
        self._replay(check)

    def _replay(self, check: Callable[[Records], None]) -> None:
        verdicts: dict[str, str | None] = {}
        for event in self.records.replay(repair=True, check=check):
            if event.kind == "start":
                check_methods([event.trial], self.plan.named_methods)
            try:
                self._grow(event.trial.study + 1)
                arm = self.arm(event.trial)
                match event.kind:
                    case "start":
                        if event.trial.widened:
                            study = self.studies[event.trial.study]
                            study.widen(Widening.from_dict(event.trial.widened))
                        arm.restore(event.trial)
                    case "report" if event.report is not None:
                        verdicts[event.trial.name] = arm.verdict(event.trial, event.report)
                    case "end":
                        arm.ended(event.trial)
                    case _:
                        pass
            except (KeyError, IndexError, TypeError) as error:
                raise InvalidInput(
                    f"the records of {event.trial.name} do not match sweep.toml ({error!r}): restore "
                    "sweep.toml, or the records from a copy"
                ) from error
        for trial in self.records.trials.values():
            if trial.status != RUNNING:
                continue
            if verdict := verdicts.get(trial.name):  # the kill came between the last report and the end
                self.end(trial, verdict)
                self.settled.append(trial)
            else:
                self.interrupted.append(trial)

    # State

    @property
    def is_over(self) -> bool:
        """Whether no trial is running or will run."""
        if any(study.may_search for study in self.studies):
            return False
        if self._running or self.interrupted:
            return False
        return self._searched_and_measured and self._next_turn() is None and not self._another_is_due

    @property
    def _searched_and_measured(self) -> bool:
        """Whether no study has anything left to run."""
        return all(study.next_after_search(_never) is None for study in self.studies)

    @property
    def running(self) -> list[TrialRecord]:
        """Trials that have started and not ended."""
        return list(self._running.values())

    def arm(self, trial: TrialRecord) -> Arm:
        """The arm for which a trial runs."""
        return self.studies[trial.study].arms[trial.arm]

    @property
    def arms(self) -> dict[str, Arm]:
        """Every arm by its display name: the method's, followed by the study from the second study on."""
        return {
            arm.method.name + (f" (study {study.number + 1})" if study.number else ""): arm
            for study in self.studies
            for arm in study.arms.values()
        }

    def work(self) -> tuple[int, int]:
        """Gradient evaluations done, and the maximum for the whole sweep."""
        done, total = zip(*(study.work() for study in self.studies), strict=True)
        return sum(done), sum(total)

    def _waits(self, spec: TrialSpec | None, stage: str) -> bool:
        """Whether a running trial will soon store a prefix from which this one could start."""
        return (
            spec is not None
            and self.plan.shares_prefix(stage)
            and self._prefixes.waits(spec, self._running.values())
        )

    # Events

    def next_trial(self) -> TrialRecord | None:
        """The next trial to run, recorded as started; None if none can start now, or the sweep `is_over`.

        Interrupted trials come first, then those of the first study that has any, and finally the quiet pass.
        """
        if self.interrupted:
            trial = self.interrupted.pop(0)
            self._running[trial.name] = trial
            return trial
        found = (study.next_trial(self._waits) for study in self.studies)
        trial = next((trial for trial in found if trial is not None), None)
        if trial is None and not self._running:  # the quiet pass: one at a time
            trial = self._next_turn()
            if trial is None and self._searched_and_measured and self._another_is_due:
                self._grow(len(self.studies) + 1)
                trial = self.studies[-1].next_trial(self._waits)
        if trial is not None:
            self.records.start(trial)
            self.arm(trial).add(trial)
            self._running[trial.name] = trial
        return trial

    @property
    def _another_is_due(self) -> bool:
        """Whether the verdict on the studies so far, all of them over, needs one more study."""
        count = len(self.studies)
        if self._decided_at == count or count >= (self.plan.until_decided or 0):
            return False
        if not self._undecided(self.plan, self.records):
            self._decided_at = count
        return self._decided_at != count

    def _grow(self, count: int) -> None:
        """Add studies up to `count`, as far as the plan allows."""
        for number in range(
            len(self.studies), min(count, max(self.plan.studies, self.plan.until_decided or 0))
        ):
            self.studies.append(Study(self.plan, number, self._storage))

    def _next_turn(self) -> TrialRecord | None:
        """The next turn of the quiet pass; None if there is none left."""
        return next((turn for turn in self.turns() if turn.name not in self.records.trials), None)

    def turns(self) -> list[TrialRecord]:
        """All turns of the quiet pass, begun or not; every study must be over."""
        return timing_turns(self.plan, [arm for study in self.studies for arm in study.arms.values()])

    def report(
        self, trial: TrialRecord, report: Report, flat_fractions: Mapping[str, FlatFraction] = NO_MASK
    ) -> bool:
        """Record a report; False if the trial has ended with it. A known report changes nothing.

        The mask of the last report, by tensor, is recorded for runs that the report of the sweep compares.
        """
        if trial.status == RUNNING and trial.is_new(report):
            verdict = self.arm(trial).verdict(trial, report)
            compared = trial.stage in (CONFIRM, CONTROL)
            self.records.report(trial, report, verdict, flat_fractions if compared else NO_MASK)
            if self.plan.shares_prefix(trial.stage):
                self._prefixes.learn(trial)
            if verdict:
                self.end(trial, verdict)
        return trial.status == RUNNING

    def fault(self, trial: TrialRecord, kind: str, cause: str) -> bool:
        """Record a fault of a running trial; False if the trial exceeded `max_failures` and is now FAILED."""
        self.records.fault(trial, kind, cause)
        self._faults[trial.name] += 1
        if self._faults[trial.name] > self.plan.max_failures:
            times = self._faults[trial.name]
            self.end(trial, FAILED, f"it was interrupted {times} times, most recently by: {kind}: {cause}")
        return trial.status == RUNNING

    def hand_out_again(self, trial: TrialRecord) -> None:
        """Start a running trial next, because no worker trains it any more."""
        del self._running[trial.name]
        self.interrupted.append(trial)

    def end(self, trial: TrialRecord, status: str, error: str | None = None) -> None:
        """Record the end of a running trial and pass it to its method's search."""
        self.records.end(trial, status, error)
        self._running.pop(trial.name, None)
        self.arm(trial).ended(trial)


def _never(*_: object) -> bool:
    return False
