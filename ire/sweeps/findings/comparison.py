"""What a sweep has found so far: one row a method, computed from the plan and the records alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from statistics import mean, median, stdev
from typing import Any

import numpy as np

from ire.sweeps.findings.contract import WALL_CLAUSE, Clause, clauses
from ire.sweeps.findings.null_model import IRE, NullModel, Point, fitted
from ire.sweeps.findings.power import Power, power
from ire.sweeps.findings.statistics.draws import interval, paired_draws, unpaired_draws
from ire.sweeps.findings.statistics.speedup import CLOCKS
from ire.sweeps.findings.statistics.target import best_run_ratio, time_to_target_ratio
from ire.sweeps.findings.statistics.verdict import (
    MIN_SEEDS,
    NOT_FINISHED,
    NOT_SHOWN,
    Judgement,
    Ratio,
    SpeedUp,
    judge,
    rivals,
    speed_up_from_draws,
)
from ire.sweeps.findings.yardstick import TEST, VALIDATION, Against, CurvePoint, Studies, Yardstick, finished
from ire.sweeps.plan.options import MIN_STUDIES
from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import (
    DIVERGED,
    FAILED,
    FINISHED,
    PRUNED,
    RUNNING,
    TIMING,
    Records,
    TrialRecord,
)
from ire.sweeps.search.ledger import Ledger
from ire.sweeps.search.range_ends import Edge, edges
from ire.sweeps.search.seed_contest import SeedContest
from ire.sweeps.search.stages import PUBLISHED, control_contests, is_over, lost, won_as_published
from ire.sweeps.search.timing import optimizer_share, timing_turns
from ire.sweeps.search.widening import Widening, due_widening, of_study, study_plan
from ire.trial.metric import Metric
from ire.trial.seeds import derive_seed
from search_spaces import Fixed

STATUSES = (FINISHED, PRUNED, DIVERGED, FAILED, RUNNING)
MIN_FULL = 2
"""Finished trials that a search must have to count as one."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Final loss, or metric, minus another's, with its 95 % interval over studies, or over the seeds of one."""

    value: float
    low: float
    high: float
    units: int
    is_better_above: bool = False
    """Whether the first is better where the difference is above 0; below it for a loss."""

    @property
    def shows_better(self) -> bool:
        """Whether the first of the two ends better, by the interval."""
        return self.units >= MIN_SEEDS and (self.low > 0 if self.is_better_above else self.high < 0)

    @property
    def shows_worse(self) -> bool:
        """Whether the first of the two ends worse, by the interval."""
        return self.units >= MIN_SEEDS and (self.high < 0 if self.is_better_above else self.low > 0)

    def __str__(self) -> str:
        return (
            f"{self.value:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"
            if self.units > 1
            else f"{self.value:+.4f}"
        )


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Runs of one method or control on the confirm seeds of every study, and how they compare with the baselines."""

    runs: list[TrialRecord]
    """Finished ones, by study and seed."""
    lost: int = 0
    """Runs that diverged or failed: they have no curve, and no verdict may rest on the others."""
    speed_ups: Mapping[str, SpeedUp] = field(default_factory=dict)
    """By clock, over the baseline that is hardest to beat on it; empty without a baseline curve or a common seed."""
    against: Mapping[str, str] = field(default_factory=dict)
    """By clock: that baseline."""

    def metric(self, name: str) -> tuple[float, float] | None:
        """Mean and standard deviation over the runs of a value of the last report."""
        values = [run.reports[-1][name] for run in self.runs if run.reports[-1].get(name) is not None]
        if not values:
            return None
        return mean(values), stdev(values) if len(values) > 1 else 0.0


@dataclass(frozen=True, kw_only=True)
class Control(Measured):
    """One control of a method, or its published settings."""

    name: str
    against_method: Difference | None
    """The method's final value minus the control's: what the method owes to what the control lacks."""
    is_tuned: bool = False
    """Whether its own strength was re-scanned, with as many points as the method's last step of tuning."""


@dataclass(frozen=True, kw_only=True)
class Winner:
    """The settings that stand for a method in one study."""

    study: int
    trial: TrialRecord
    settings: Mapping[str, Any]
    is_published: bool
    """Whether they are the published ones."""


@dataclass(frozen=True, kw_only=True)
class Row(Measured):
    """One method's results; None or empty where there is none yet."""

    method: str
    is_baseline: bool
    winners: list[Winner]
    """By study."""
    search: list[TrialRecord]
    """Of all studies."""
    statuses: dict[str, int]
    """Search trials by status."""
    spent: int
    """Gradient evaluations of all searches."""
    training_seconds: float
    """Of all searches, their trials one after the other."""
    confirm_statuses: dict[str, int]
    edges: list[Edge]
    """Settings of winners at the end of their range, in more than half of the studies."""
    optimizer_share: float | None = None
    """What the optimizer alone takes of a step, measured in the quiet pass; None where it is not known."""
    is_searched: bool = True
    """Whether anything was searched; else its settings are fixed in the space file."""
    over: Against = field(default_factory=Against)
    """Speed-ups over every baseline."""
    judgements: Mapping[str, Judgement] = field(default_factory=dict)
    """By clock, corrected over the methods; empty without a curve, or from fewer than three studies."""
    powers: Mapping[str, Power] = field(default_factory=dict)
    """By clock: what could have been found."""
    validation_speed_ups: Mapping[str, SpeedUp] = field(default_factory=dict)
    """As `speed_ups`, from the losses by which settings were chosen."""
    time_to_target: Mapping[str, SpeedUp] = field(default_factory=dict)
    best_run: Mapping[str, Ratio] = field(default_factory=dict)
    """Of the first search's best run against the baseline's best: the ratio that the literature quotes."""
    against_best: Difference | None = None
    """Against the best baseline."""
    against_base: Difference | None = None
    """Against the method without IRE, tuned by itself."""
    controls: list[Control] = field(default_factory=list)
    null_model: NullModel | None = None
    """What its controls would come to if only the step's mean length counted; None without enough of them."""
    unsettled: list[str] = field(default_factory=list)
    """Controls from which nothing can be told yet: runs of theirs or of the method are missing, diverged or failed."""

    @property
    def verdicts(self) -> dict[str, str]:
        """By clock."""
        return {clock: judgement.verdict for clock, judgement in self.judgements.items()}

    @property
    def is_starved(self) -> bool:
        """Whether too few trials ran to the end for its search to count as one."""
        return (
            self.is_searched and bool(self.winners) and self.statuses[FINISHED] < MIN_FULL * len(self.winners)
        )

    @property
    def is_finished(self) -> bool:
        """Whether its tuning has ended: no winners press against a range, and enough trials ran to the end."""
        return not self.edges and not self.is_starved

    @property
    def winner(self) -> TrialRecord | None:
        """The winner of the first study that has one."""
        return self.winners[0].trial if self.winners else None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All rows of a sweep and the baselines that they are measured against."""

    rows: list[Row]
    studies: int
    """How many the sweep has so far: those in which anything has run."""
    widenings: list[Widening]
    """What searches have moved, by study."""
    judged_on: str
    """`test` or `validation`: the split whose values are compared."""
    metric: Metric
    """What is compared."""
    baseline: str | None
    """The best tuned baseline at equal steps: the best mean of the final metric in validation over its confirm runs."""
    curve: list[CurvePoint]
    """The baselines at rising horizons in every study, the task's own among them."""
    contract: list[Clause]
    is_complete: bool
    metrics: list[str]
    """The task's metrics without their split: loss first."""
    timing_spread: float | None
    """How far apart the turns of the quiet pass lie, as a share; None without one."""
    clock: str
    """The clock of the headline."""
    clock_reason: str = ""
    """Why it is not wall-clock, if it is not and was not asked to be another."""

    @property
    def is_comparable(self) -> bool:
        """Whether no clause of the contract is broken; that of equal hardware concerns wall-clock alone."""
        return all(clause.kept is not False for clause in self.contract if clause.name != WALL_CLAUSE)

    @property
    def judges_methods(self) -> bool:
        """Whether there are enough studies to speak of methods, and not of two configurations."""
        return self.studies >= MIN_STUDIES

    @property
    def judged(self) -> str:
        """The value of a report that is compared, such as `test_loss`."""
        return self.metric.on_test if self.judged_on == TEST else self.metric.name

    @property
    def has_curve(self) -> bool:
        return len({point.factor for point in self.curve}) > 1

    def row(self, method: str) -> Row:
        """The row of that method."""
        return next(row for row in self.rows if row.method == method)

    def curve_of(self, baseline: str) -> dict[float, list[TrialRecord]]:
        """The finished runs of a baseline's curve, of all studies, by horizon."""
        points = sorted((p for p in self.curve if p.baseline == baseline), key=lambda p: p.factor)
        return {
            f: [run for p in group for run in p.runs] for f, group in groupby(points, key=lambda p: p.factor)
        }


def compare(plan: Plan, records: Records) -> Comparison:
    """The comparison of a folder's records, complete or not."""
    trials = list(records.trials.values())
    begun = max((trial.study for trial in trials), default=0) + 1
    studies = [
        {method: Ledger(own, method, trials) for method in plan.methods}
        for own in (study_plan(plan, number, trials) for number in range(max(begun, 1)))
    ]
    over = [number for number, study in enumerate(studies) if _study_is_over(study, records)]
    if over:  # one that still runs must not hide what the others found
        studies = studies[: len(over)] if over == list(range(len(over))) else studies
    yardstick = Yardstick(plan, studies)
    judge_ = _Judge(plan, studies, yardstick)
    contract = list(clauses(plan, studies))
    clock, reason = _clock(plan, contract, yardstick)
    order = yardstick.baselines()
    found = Comparison(
        rows=[judge_.row(method) for method in plan.methods],
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
    """The clock of the headline, and why it is not wall-clock where nobody asked for another."""
    if plan.clock is not None:
        return plan.clock, ""
    if any(clause.name == WALL_CLAUSE and clause.kept is False for clause in contract):
        return "gradient_evaluations", "runs were timed on different hardware"
    if not yardstick.is_timed:
        if yardstick.spread is None:
            return "gradient_evaluations", "the quiet pass that measures wall-clock has not run"
        return (
            "gradient_evaluations",
            f"the machine was not quiet: turns of the same winner took times {yardstick.spread:.0%} apart",
        )
    return "wall", ""


def undecided(plan: Plan, records: Records) -> bool:
    """Whether a verdict of the headline is still open that more studies may settle."""
    return _is_open(compare(plan, records))


def _is_open(found: Comparison) -> bool:
    rows = [row for row in found.rows if not row.is_baseline]
    return not found.judges_methods or any(row.verdicts.get(found.clock) == NOT_SHOWN for row in rows)


def _judged(found: Comparison, looks: int) -> Comparison:
    """Add the judgements, and intervals at their levels."""
    judged: dict[str, dict[str, Judgement]] = {}
    if found.is_comparable and found.judges_methods:
        for clock in CLOCKS:
            for family in (True, False):  # baselines are judged among themselves
                rows = [row for row in found.rows if row.is_baseline == family]
                judged.setdefault(clock, {}).update(
                    judge({r.method: r.over.speed_ups.get(clock, {}) for r in rows}, looks)
                )
    return replace(found, rows=[_with_judgements(found, row, judged) for row in found.rows])


def _with_judgements(found: Comparison, row: Row, judged: Mapping[str, Mapping[str, Judgement]]) -> Row:
    speed_ups, against, judgements, powers = {}, {}, {}, {}
    for clock, over in row.over.speed_ups.items():
        judgement = judged.get(clock, {}).get(row.method)
        if judgement is None:
            against[clock] = min(over, key=lambda name: over[name].ratio.value)
            speed_ups[clock] = over[against[clock]]
            continue
        name = against[clock] = judgement.against
        draws = row.over.draws[clock][name]
        speed_ups[clock] = speed_up_from_draws(
            over[name].ratio.value,
            over[name].ratio.censored,
            draws[:, 0],
            draws[:, 1],
            units=over[name].units,
            whole=over[name].whole,
            tails=judgement.tails,
        )
        if not all(found.row(method).is_finished for method in (row.method, *rivals(judgement, over))):
            judgement = replace(judgement, verdict=NOT_FINISHED)
        judgements[clock] = judgement
        powers[clock] = power(draws[:, 0], studies=over[name].units, tail=judgement.tails[0])
    return replace(row, speed_ups=speed_ups, against=against, judgements=judgements, powers=powers)


class _Judge:
    """Measures every method of a sweep with its yardstick."""

    def __init__(self, plan: Plan, studies: Studies, yardstick: Yardstick) -> None:
        self._plan, self._studies, self._yardstick = plan, studies, yardstick
        self._metric = plan.space.metric
        self._judged = self._metric.on_test if yardstick.judged_on == TEST else self._metric.name
        self._is_paired = plan.paired is not False

    def row(self, method: str) -> Row:
        ledgers = [study[method] for study in self._studies]
        search = [trial for ledger in ledgers for trial in ledger.search]
        confirm = [run for ledger in ledgers for run in ledger.confirm]
        runs = finished(confirm)
        row = Row(
            method=method,
            is_baseline=ledgers[0].is_baseline,
            optimizer_share=_median([optimizer_share(ledger) for ledger in ledgers]),
            is_searched=self._plan.space.search.grid or self._plan.space.is_searched(ledgers[0].method),
            winners=[
                Winner(
                    study=ledger.study,
                    trial=ledger.winner,
                    settings=ledger.settings,
                    is_published=won_as_published(ledger),
                )
                for ledger in ledgers
                if ledger.winner
            ],
            search=search,
            statuses=_count(search),
            spent=sum(ledger.spent for ledger in ledgers),
            training_seconds=sum(trial.seconds for trial in search),
            runs=runs,
            lost=lost(confirm),
            confirm_statuses=_count(confirm),
            edges=self._edges(ledgers),
            controls=self._controls(ledgers),
            null_model=self._null_model(ledgers),
            unsettled=self._unsettled(ledgers),
            against_base=self._against_base(ledgers),
        )
        best = next(iter(self._yardstick.baselines()), None)
        if best is None or not self._yardstick.is_settled:
            return row
        over = self._yardstick.over_all(method, [ledger.confirm for ledger in ledgers])
        if best == method:
            return replace(row, over=over)
        by_validation, _ = self._yardstick.over(
            method, [ledger.confirm for ledger in ledgers], best, method, "validation", split=VALIDATION
        )
        return replace(
            row,
            over=over,
            validation_speed_ups=by_validation,
            time_to_target=self._time_to_target(runs, best, method),
            best_run=self._best_run(ledgers[0], self._studies[0][best]),
            against_best=self._difference(
                [ledger.confirm for ledger in ledgers], self._confirm(best), method, "best"
            ),
        )

    def _confirm(self, method: str) -> list[list[TrialRecord]]:
        return [study[method].confirm for study in self._studies]

    def _edges(self, ledgers: Sequence[Ledger]) -> list[Edge]:
        """The ends against which the winners of more than half of the studies press."""
        found = [
            edge
            for ledger in ledgers
            if ledger.winner
            for edge in edges(ledger.plan, ledger.method.name, ledger.settings)
        ]
        counts = Counter((edge.setting, edge.is_lower) for edge in found)
        shown = {key for key, count in counts.items() if 2 * count > len(ledgers)}
        first = {(edge.setting, edge.is_lower): edge for edge in reversed(found)}
        return [edge for key, edge in first.items() if key in shown]

    def _time_to_target(self, runs: Sequence[TrialRecord], best: str, name: str) -> dict[str, SpeedUp]:
        theirs = finished([run for runs in self._confirm(best) for run in runs])
        pairs = _pairs(theirs, runs)
        if not pairs:
            return {}
        baseline, method = ([run.reports for run in side] for side in zip(*pairs, strict=True))
        return {
            clock: time_to_target_ratio(
                baseline,
                method,
                clock,
                self._generator(name, clock, "target"),
                self._metric,
                paired=self._is_paired,
            )
            for clock in CLOCKS
        }

    def _best_run(self, ledger: Ledger, baseline: Ledger) -> dict[str, Ratio]:
        if not ledger.candidates or not baseline.candidates:
            return {}
        mine, theirs = ledger.candidates[0], baseline.candidates[0]
        return {clock: best_run_ratio(theirs.reports, mine.reports, clock, self._metric) for clock in CLOCKS}

    def _controls(self, ledgers: Sequence[Ledger]) -> list[Control]:
        method = ledgers[0].method.name
        by_name: dict[str, list[tuple[Ledger, SeedContest]]] = {}
        for ledger in ledgers:
            for contest in control_contests(ledger.plan, ledger):
                by_name.setdefault(contest.name, []).append((ledger, contest))
        found = []
        for name, of_studies in by_name.items():
            own, contests = zip(*of_studies, strict=True)  # published settings are none where they won
            measured = [contest.measured for contest in contests]
            runs = [run for part in measured for run in finished(part)]
            if not runs:
                continue
            whole = len(measured) == len(ledgers)
            over = self._yardstick.over_all("", measured, method, name) if whole else Against()
            against = {c: min(o, key=lambda b, o=o: o[b].ratio.value) for c, o in over.speed_ups.items()}
            found.append(
                Control(
                    name=name,
                    runs=runs,
                    lost=sum(map(lost, measured)),
                    speed_ups={clock: over.speed_ups[clock][b] for clock, b in against.items()},
                    against=against,
                    against_method=self._difference(
                        [ledger.confirm for ledger in own], measured, method, name
                    ),
                    is_tuned=all(len(contest.entries) > 1 for contest in contests),
                )
            )
        return found

    def _null_model(self, ledgers: Sequence[Ledger]) -> NullModel | None:
        """The model without curvature, fitted to IRE and its controls in every study."""
        studies = []
        for ledger in ledgers:
            contests = [c for c in control_contests(ledger.plan, ledger) if c.name != PUBLISHED]
            points = [(c.name, c.chosen, finished(c.measured)) for c in contests if c.chosen is not None]
            points = [(name, entry.settings, runs) for name, entry, runs in points if len(runs) > 1]
            mine = finished(ledger.confirm)
            if not points or len(mine) < 2:
                return None
            points.append((IRE, ledger.settings, mine))
            studies.append([self._point(name, own, runs, ledger.settings) for name, own, runs in points])
        model = fitted(studies)
        if model is None:
            return None
        predicted = {name: self._metric.cost(cost) for name, cost in model.predicted.items()}
        return replace(model, predicted=predicted)

    def _point(
        self, name: str, own: Mapping[str, Any], runs: Sequence[TrialRecord], settings: Mapping[str, Any]
    ) -> Point:
        losses = [self._metric.cost(self._value(run)) for run in runs]
        return Point(
            name=name,
            kappa=own["kappa"],
            gamma=own.get("gamma", 1.0),
            lr_ratio=own["lr"] / settings["lr"],
            loss=mean(losses),
            error=stdev(losses) / np.sqrt(len(losses)),
        )

    def _unsettled(self, ledgers: Sequence[Ledger]) -> list[str]:
        names = [
            contest.name
            for ledger in ledgers
            for contest in control_contests(ledger.plan, ledger)
            if contest.name != PUBLISHED
            and not (contest.is_over and not lost(contest.measured) and not lost(ledger.confirm))
        ]
        return list(dict.fromkeys(names))

    def _against_base(self, ledgers: Sequence[Ledger]) -> Difference | None:
        method = ledgers[0].method
        if not method.ire:
            return None
        base = method.ancestors[-3 if method.control else -2]
        if base not in self._studies[0]:
            return None
        return self._difference(
            [ledger.confirm for ledger in ledgers], self._confirm(base), method.name, "base"
        )

    def _difference(
        self,
        mine: Sequence[Sequence[TrialRecord]],
        others: Sequence[Sequence[TrialRecord]],
        *purpose: str,
    ) -> Difference | None:
        """The mean difference in what is judged, over studies; over seeds in one study."""
        parts = []
        for one, other in zip(mine, others, strict=True):
            pairs = _pairs(finished(one), finished(other))
            if not pairs:
                return None
            parts.append([(self._value(a), self._value(b)) for a, b in pairs])
        if not self._is_paired:
            sides = np.array(parts[0] if len(parts) == 1 else [np.mean(part, axis=0) for part in parts])
            first, second = unpaired_draws(sides, self._generator(*purpose)).T
            low, high = interval(first - second)
            return Difference(
                value=float(np.subtract(*sides.mean(axis=0))),
                low=low,
                high=high,
                units=len(sides),
                is_better_above=self._metric.mode == "max",
            )
        differences = [[a - b for a, b in part] for part in parts]
        units = differences[0] if len(parts) == 1 else [mean(part) for part in differences]
        values = np.array(units)[:, None]
        low, high = interval(paired_draws(values, self._generator(*purpose))[:, 0])
        return Difference(
            value=float(values.mean()),
            low=low,
            high=high,
            units=len(values),
            is_better_above=self._metric.mode == "max",
        )

    def _value(self, run: TrialRecord) -> float:
        """What a run ends with; a control that has not seen the test split is compared by validation."""
        value = run.reports[-1].get(self._judged)
        return run.final(self._metric.name) if value is None else value

    def _generator(self, *purpose: str) -> np.random.Generator:
        return np.random.default_rng(derive_seed(self._plan.seed, "bootstrap", *purpose))


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _pairs(
    left: Sequence[TrialRecord], right: Sequence[TrialRecord]
) -> list[tuple[TrialRecord, TrialRecord]]:
    """Runs of the same study and seed, in order."""
    others = {(run.study, run.number): run for run in right}
    return [(run, others[run.study, run.number]) for run in left if (run.study, run.number) in others]


def _count(trials: Sequence[TrialRecord]) -> dict[str, int]:
    counts = Counter(trial.status for trial in trials)
    return {status: counts[status] for status in STATUSES}


def _metrics(records: Records) -> list[str]:
    for trial in records.trials.values():
        for report in trial.reports if trial.stage != TIMING else ():
            return [key.removeprefix("val_") for key in report if key.startswith("val_")]
    return []


def settings_that_vary(plan: Plan, method: str) -> list[str]:
    """The settings of `method` that are searched, in order."""
    dimensions = plan.space.dimensions(plan.method(method))
    return [name for name, dimension in dimensions.items() if not isinstance(dimension, Fixed)]


def short_settings(plan: Plan, method: str, settings: Mapping[str, Any]) -> str:
    """The searched settings of a method in one line, without those that take no part."""
    taking_part = plan.space.active(plan.method(method), settings)
    return ", ".join(
        f"{name} {_short(settings[name])}" for name in settings_that_vary(plan, method) if name in taking_part
    )


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def published(row: Row) -> Measured | None:
    """The method with its published settings: a control, or the method itself if they won in every study."""
    if row.winners and all(winner.is_published for winner in row.winners):
        return row
    return next((control for control in row.controls if control.name == PUBLISHED), None)
