"""The findings of a sweep so far: one row per method, computed from the plan and the records alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from ire.sweeps.findings.clause import Clause
from ire.sweeps.findings.contract import WALL_CLAUSE, clauses
from ire.sweeps.findings.method_rows import MethodRows
from ire.sweeps.findings.power import POWERLESS, Power, power
from ire.sweeps.findings.rows import Row
from ire.sweeps.findings.statistics.horizon import UNKNOWN
from ire.sweeps.findings.statistics.speedup import CLOCKS
from ire.sweeps.findings.statistics.verdict import (
    NOT_FINISHED,
    NOT_SHOWN,
    Judgement,
    SpeedUp,
    hardest,
    judge,
    rivals,
    with_tails,
)
from ire.sweeps.findings.yardstick import TEST, CurvePoint, Studies, Yardstick
from ire.sweeps.plan.options import MIN_STUDIES
from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import RUNNING, TIMING, Records, TrialRecord
from ire.sweeps.search.ledger import Ledger
from ire.sweeps.search.stages import is_over
from ire.sweeps.search.timing import timing_turns
from ire.sweeps.search.widening import Widening, due_widening, of_study, study_plan
from ire.trial.metric import Metric


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All rows of a sweep, and the baselines against which they are measured."""

    rows: list[Row]
    studies: int
    """Number of studies so far in which anything has run."""
    widenings: list[Widening]
    """Widened ranges, by study."""
    judged_on: str
    """The split whose values are compared: `test` or `validation`."""
    metric: Metric
    """The compared metric."""
    baseline: str | None
    """The best tuned baseline at equal steps: the one with the best mean final validation of its confirm runs."""
    curve: list[CurvePoint]
    """The baselines at rising horizons in every study, including the task's horizon."""
    contract: list[Clause]
    is_complete: bool
    metrics: list[str]
    """The task's metrics without their split, loss first."""
    timing_spread: float | None
    """Spread of the turns of the quiet pass, as a share of their median; None without one."""
    clock: str
    """The clock of the headline."""
    clock_reason: str = ""
    """Why the clock is not wall-clock, if the user chose no other; else empty."""
    shares_trials: bool = False
    """Whether several studies start from the same search of another experiment, so that they are not independent."""

    @property
    def is_comparable(self) -> bool:
        """Whether no clause of the contract is broken, except the one on hardware, which only concerns wall-clock."""
        return all(clause.kept is not False for clause in self.contract if clause.name != WALL_CLAUSE)

    @property
    def judges_methods(self) -> bool:
        """Whether there are enough independent studies for a verdict about methods rather than configurations."""
        return self.studies >= MIN_STUDIES and not self.shares_trials

    @property
    def judged(self) -> str:
        """The compared value of a report, such as `test_loss`."""
        return self.metric.on_test if self.judged_on == TEST else self.metric.name

    @property
    def has_curve(self) -> bool:
        return len({point.factor for point in self.curve}) > 1

    def row(self, method: str) -> Row:
        """The row of that method."""
        return next(row for row in self.rows if row.method == method)

    def ends(self, row: Row) -> str | None:
        """Whether a method's winner is shown to end `lower` or `higher` than that of the best baseline; None if not.

        A side that lost runs is not better, since the runs that are left flatter it.
        """
        difference = row.against_best
        if difference is None or self.baseline is None:
            return None

        def is_whole(side: Row) -> bool:
            return not side.lost and not side.without(self.judged)

        if difference.shows_better and is_whole(row):
            return self.metric.better
        return self.metric.worse if difference.shows_worse and is_whole(self.row(self.baseline)) else None

    def curve_of(self, baseline: str) -> dict[float, list[TrialRecord]]:
        """The finished runs of a baseline's curve in all studies, by horizon."""
        points = sorted((p for p in self.curve if p.baseline == baseline), key=lambda p: p.factor)
        return {
            f: [run for p in group for run in p.runs] for f, group in groupby(points, key=lambda p: p.factor)
        }


def studies_of(plan: Plan, records: Records) -> Studies:
    """The studies that are compared: those that are over, or all if a later one is over before an earlier one."""
    trials = list(records.trials.values())
    begun = max((trial.study for trial in trials), default=0) + 1
    studies = [
        {method: Ledger(own, method, trials) for method in plan.methods}
        for own in (study_plan(plan, number, trials) for number in range(max(begun, 1)))
    ]
    over = [number for number, study in enumerate(studies) if _study_is_over(study, records)]
    if over:  # a study that still runs must not hide the findings of the others
        studies = studies[: len(over)] if over == list(range(len(over))) else studies
    return studies


def compare(plan: Plan, records: Records) -> Comparison:
    """The comparison of a folder's records, complete or not."""
    trials, studies = list(records.trials.values()), studies_of(plan, records)
    yardstick = Yardstick(plan, studies)
    methods = MethodRows(plan, studies, yardstick)
    contract = list(clauses(plan, studies))
    clock, reason = _clock(plan, contract, yardstick)
    order = yardstick.baselines()
    found = Comparison(
        rows=[methods.row(method) for method in plan.methods],
        studies=len(studies),
        widenings=[w for number in range(len(studies)) for w in of_study(trials, number)],
        judged_on=yardstick.judged_on,
        metric=plan.space.metric,
        baseline=order[0] if order else None,
        curve=yardstick.curves,
        contract=contract,
        is_complete=_is_complete(plan, studies, records),
        metrics=_metrics(records),
        timing_spread=yardstick.spread,
        clock=clock,
        clock_reason=reason,
        shares_trials=plan.imported is not None and plan.imported.studies < len(studies),
    )
    found = _judged(found, plan.looks)
    if found.studies < (plan.until_decided or 0) and _is_open(found):
        found = replace(found, is_complete=False)
    return found


def _is_complete(plan: Plan, studies: Studies, records: Records) -> bool:
    if len(studies) < plan.studies or not all(_study_is_over(study, records) for study in studies):
        return False
    turns = timing_turns(plan, [ledger for study in studies for ledger in study.values()])
    return all(turn.name in records.trials and records.trials[turn.name].status != RUNNING for turn in turns)


def _study_is_over(study: Mapping[str, Ledger], records: Records) -> bool:
    own = next(iter(study.values())).plan
    before = of_study(records.trials.values(), own.study_number)
    return is_over(own, study) and due_widening(own, study, before) is None


def _clock(plan: Plan, contract: Sequence[Clause], yardstick: Yardstick) -> tuple[str, str]:
    """The clock of the headline, and why it is not wall-clock if the user chose no other."""
    if plan.clock is not None:
        return plan.clock, ""
    if any(clause.name == WALL_CLAUSE and clause.kept is False for clause in contract):
        return "gradient_evaluations", "runs were timed on different hardware"
    if not yardstick.is_timed:
        if yardstick.spread is None:
            return "gradient_evaluations", "the quiet pass that measures wall-clock has not run"
        return (
            "gradient_evaluations",
            f"the machine was not quiet: times of the same winner differed by {yardstick.spread:.0%}",
        )
    return "wall", ""


def undecided(plan: Plan, records: Records) -> bool:
    """Whether more studies may settle a verdict of the headline that is still open."""
    return _is_open(compare(plan, records))


def _is_open(found: Comparison) -> bool:
    rows = [row for row in found.rows if not row.is_baseline]
    return not found.judges_methods or any(row.verdicts.get(found.clock) == NOT_SHOWN for row in rows)


def _judged(found: Comparison, looks: int) -> Comparison:
    """Add the judgements, and the intervals at their levels."""
    judged: dict[str, dict[str, Judgement]] = {}
    if found.is_comparable and found.judges_methods:
        for clock in CLOCKS:
            for family in (True, False):  # baselines are judged only against each other
                rows = [row for row in found.rows if row.is_baseline == family]
                judged.setdefault(clock, {}).update(
                    judge({r.method: r.over.speed_ups.get(clock, {}) for r in rows}, looks)
                )
    return replace(found, rows=[_with_judgements(found, row, judged) for row in found.rows])


def _with_judgements(found: Comparison, row: Row, judged: Mapping[str, Mapping[str, Judgement]]) -> Row:
    speed_ups: dict[str, SpeedUp] = {}
    against: dict[str, str] = {}
    judgements: dict[str, Judgement] = {}
    powers: dict[str, Power] = {}
    for clock, over in row.over.speed_ups.items():
        judgement = judged.get(clock, {}).get(row.method)
        if judgement is None:
            against[clock] = hardest(over)
            speed_ups[clock] = over[against[clock]]
            continue
        name = against[clock] = judgement.against
        draws = row.over.draws[clock][name]
        speed_ups[clock] = with_tails(over[name], draws, judgement.tails)
        if not all(found.row(method).is_finished for method in (row.method, *rivals(judgement, over))):
            judgement = replace(judgement, verdict=NOT_FINISHED)
        judgements[clock] = judgement
        is_read = over[name].whole or over[name].ratio.censored != UNKNOWN
        powers[clock] = (
            power(draws, studies=over[name].units, tail=judgement.tails[0]) if is_read else POWERLESS
        )
    return replace(row, speed_ups=speed_ups, against=against, judgements=judgements, powers=powers)


def _metrics(records: Records) -> list[str]:
    for trial in records.trials.values():
        for report in trial.reports if trial.stage != TIMING else ():
            return [key.removeprefix("val_") for key in report if key.startswith("val_")]
    return []
