"""What a sweep has found so far: one row a method, computed from the plan and the records alone."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean, stdev
from typing import Any

import numpy as np

from ire.methods.method import parse_method
from ire.sweeps.findings.contract import WALL_CLAUSE, Clause, clauses
from ire.sweeps.findings.range_ends import Edge, edges
from ire.sweeps.findings.statistics.draws import interval, paired_draws
from ire.sweeps.findings.statistics.speedup import CLOCKS, Ends, speed_ups
from ire.sweeps.findings.statistics.target import best_run_ratio, time_to_target_ratio
from ire.sweeps.findings.statistics.verdict import Ratio, SpeedUp, verdicts
from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import DIVERGED, FAILED, FINISHED, PRUNED, RUNNING, Records, TrialRecord
from ire.sweeps.search.ledger import Ledger
from ire.sweeps.search.stages import (
    PUBLISHED,
    baseline_is_settled,
    best_baseline,
    control_contests,
    curve_contests,
    is_over,
    lost,
)
from ire.trial.seeds import derive_seed
from search_spaces import Fixed

STATUSES = (FINISHED, PRUNED, DIVERGED, FAILED, RUNNING)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Final validation loss minus another's on the same seeds, with its 95 % interval: below 0 is better."""

    value: float
    low: float
    high: float
    seeds: int

    def __str__(self) -> str:
        return (
            f"{self.value:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"
            if self.seeds > 1
            else f"{self.value:+.4f}"
        )


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Runs of one configuration on the confirm seeds, and how they compare with the baseline."""

    runs: list[TrialRecord]
    """Finished ones, by seed."""
    lost: int = 0
    """Runs that diverged or failed: they have no curve, and no verdict may rest on the others."""
    speed_ups: Mapping[str, SpeedUp] = field(default_factory=dict)
    """By clock, from validation losses; empty without a baseline curve or a common seed."""
    draws: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False)
    """The draws behind them, (resamples, 2): values and how they are censored."""

    def metric(self, name: str) -> tuple[float, float] | None:
        """Mean and standard deviation over the seeds of a value of the last report."""
        values = [run.reports[-1][name] for run in self.runs if run.reports[-1].get(name) is not None]
        if not values:
            return None
        return mean(values), stdev(values) if len(values) > 1 else 0.0


@dataclass(frozen=True, kw_only=True)
class Control(Measured):
    """One control of a method, or its published settings."""

    name: str
    against_method: Difference | None
    """The method's loss minus the control's: what the method owes to what the control lacks."""


@dataclass(frozen=True, kw_only=True)
class Row(Measured):
    """One method's results; None or empty where there is none yet."""

    method: str
    is_baseline: bool
    winner: TrialRecord | None
    """The search trial whose settings stand for the method."""
    search: list[TrialRecord]
    statuses: dict[str, int]
    """Search trials by status."""
    spent: int
    """Gradient evaluations of the search."""
    training_seconds: float
    """Of the search, its trials one after the other."""
    confirm_statuses: dict[str, int]
    edges: list[Edge]
    """Settings of the winner at the end of their range."""
    verdicts: Mapping[str, str] = field(default_factory=dict)
    """By clock, corrected over the methods; empty for the best baseline and without a curve."""
    test_speed_ups: Mapping[str, SpeedUp] = field(default_factory=dict)
    """As `speed_ups`, from test losses: nothing was ever chosen by them."""
    time_to_target: Mapping[str, SpeedUp] = field(default_factory=dict)
    best_run: Mapping[str, Ratio] = field(default_factory=dict)
    """Of the search's best run against the baseline's best: the ratio that the literature quotes."""
    against_base: Difference | None = None
    """Against the method without IRE, tuned by itself."""
    controls: list[Control] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)
    """Controls from which nothing can be told yet: runs of theirs or of the method are missing, diverged or failed."""

    @property
    def confirmed(self) -> list[TrialRecord]:
        """Finished confirm runs, by seed."""
        return self.runs


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """The baseline at one horizon."""

    factor: float
    """In multiples of the task's horizon."""
    runs: list[TrialRecord]
    lost: int = 0
    """Runs that diverged or failed."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All rows of a sweep and the baseline that they are measured against."""

    rows: list[Row]
    baseline: str | None
    """The best tuned baseline: the lowest mean final validation loss over its confirm seeds."""
    chosen_from: int
    """How many confirmed baselines it is the best of."""
    curve: list[CurvePoint]
    """The baseline at rising horizons, the task's own among them."""
    contract: list[Clause]
    is_complete: bool
    metrics: list[str]
    """The task's metrics without their split: loss first."""

    @property
    def is_comparable(self) -> bool:
        """Whether no clause of the contract is broken; that of equal hardware concerns wall-clock alone."""
        return all(clause.kept is not False for clause in self.contract if clause.name != WALL_CLAUSE)

    @property
    def clock(self) -> str:
        """The clock of the headline: wall-clock, or gradient evaluations if the hardware differs."""
        differs = any(clause.name == WALL_CLAUSE and clause.kept is False for clause in self.contract)
        return "gradient_evaluations" if differs else "wall"

    @property
    def has_curve(self) -> bool:
        return len(self.curve) > 1

    def row(self, method: str) -> Row:
        """The row of that method."""
        return next(row for row in self.rows if row.method == method)


def compare(plan: Plan, records: Records) -> Comparison:
    """The comparison of a folder's records, complete or not."""
    ledgers = {method: Ledger(plan, method, records.trials.values()) for method in plan.methods}
    baseline = best_baseline(ledgers.values())
    curve = _curve(plan, ledgers, baseline)
    judge = _Judge(plan, ledgers, baseline, curve)
    rows = [judge.row(ledger) for ledger in ledgers.values()]
    found = Comparison(
        rows=rows,
        baseline=baseline.method.name if baseline else None,
        chosen_from=sum(row.is_baseline and bool(row.runs) for row in rows),
        curve=curve,
        contract=list(clauses(plan, ledgers.values())),
        is_complete=is_over(plan, ledgers),
        metrics=_metrics(records),
    )
    return _judged(found) if found.is_comparable else found


def _judged(found: Comparison) -> Comparison:
    told = {
        clock: verdicts(
            {row.method: row.speed_ups[clock] for row in found.rows if clock in row.speed_ups},
            found.chosen_from,
        )
        for clock in CLOCKS
    }
    rows = [
        _with(row, verdicts={clock: told[clock][row.method] for clock in CLOCKS if row.method in told[clock]})
        for row in found.rows
    ]
    return replace(found, rows=rows)


def _curve(plan: Plan, ledgers: Mapping[str, Ledger], baseline: Ledger | None) -> list[CurvePoint]:
    if baseline is None:
        return []
    points = [CurvePoint(factor=1.0, runs=_finished(baseline.confirm))]
    points += [
        CurvePoint(
            factor=contest.horizon_factor, runs=_finished(contest.measured), lost=lost(contest.measured)
        )
        for contest in curve_contests(plan, ledgers.values())
    ]
    return sorted((point for point in points if point.runs), key=lambda point: point.factor)


class _Judge:
    """Measures everything against one baseline curve."""

    def __init__(
        self, plan: Plan, ledgers: Mapping[str, Ledger], baseline: Ledger | None, curve: Sequence[CurvePoint]
    ) -> None:
        self._plan, self._ledgers, self._baseline, self._curve = plan, ledgers, baseline, curve
        self._settled = baseline is not None and baseline_is_settled(ledgers.values())

    def row(self, ledger: Ledger) -> Row:
        runs = _finished(ledger.confirm)
        winner = ledger.winner
        row = Row(
            method=ledger.method.name,
            is_baseline=ledger.is_baseline,
            winner=winner,
            search=ledger.search,
            statuses=_count(ledger.search),
            spent=ledger.spent,
            training_seconds=sum(trial.seconds for trial in ledger.search),
            runs=runs,
            lost=lost(ledger.confirm),
            confirm_statuses=_count(ledger.confirm),
            edges=edges(self._plan, ledger.method.name, winner.spec.settings) if winner else [],
            controls=self._controls(ledger),
            unsettled=self._unsettled(ledger),
            against_base=self._against_base(ledger, runs),
        )
        if ledger is self._baseline or self._baseline is None:
            return row
        speed, draws = self._speed_ups(runs, "val_loss", row.method)
        test_speed, _ = self._speed_ups(runs, "test_loss", row.method)
        return _with(
            row,
            speed_ups=speed,
            draws=draws,
            test_speed_ups=test_speed,
            time_to_target=self._time_to_target(runs, row.method),
            best_run=self._best_run(winner),
        )

    def _speed_ups(
        self, runs: Sequence[TrialRecord], loss: str, name: str
    ) -> tuple[dict[str, SpeedUp], dict[str, np.ndarray]]:
        if not self._settled or not runs or len(self._curve) < 2 or not _has(runs, loss):
            return {}, {}
        curve = {point.factor: _ends(point.runs, loss) for point in self._curve}
        return speed_ups(
            curve, _ends(runs, loss), self._generator(name, loss), planned=self._plan.confirm_seeds
        )

    def _time_to_target(self, runs: Sequence[TrialRecord], name: str) -> dict[str, SpeedUp]:
        pairs = _pairs(_finished(self._baseline.confirm), runs)
        if not pairs:
            return {}
        baseline, method = ([run.reports for run in side] for side in zip(*pairs, strict=True))
        return {
            clock: time_to_target_ratio(baseline, method, clock, self._generator(name, clock, "target"))
            for clock in CLOCKS
        }

    def _best_run(self, winner: TrialRecord | None) -> dict[str, Ratio]:
        best = self._baseline.candidates
        if winner is None or not best:
            return {}
        mine = self._ledgers[winner.arm].candidates[0]
        return {clock: best_run_ratio(best[0].reports, mine.reports, clock) for clock in CLOCKS}

    def _controls(self, ledger: Ledger) -> list[Control]:
        mine = _finished(ledger.confirm)
        found = []
        for contest in control_contests(self._plan, ledger):
            runs, name = _finished(contest.measured), contest.entries[0].variant
            if not runs:
                continue
            speed, draws = self._speed_ups(runs, "val_loss", f"{ledger.method.name} {name}")
            found.append(
                Control(
                    name=name,
                    runs=runs,
                    lost=lost(contest.measured),
                    speed_ups=speed,
                    draws=draws,
                    against_method=self._difference(mine, runs, ledger.method.name, name),
                )
            )
        return found

    def _unsettled(self, ledger: Ledger) -> list[str]:
        return [
            contest.entries[0].variant
            for contest in control_contests(self._plan, ledger)
            if contest.entries[0].variant != PUBLISHED
            and not (contest.is_over and not lost(contest.measured) and not lost(ledger.confirm))
        ]

    def _against_base(self, ledger: Ledger, runs: Sequence[TrialRecord]) -> Difference | None:
        method = ledger.method
        if not method.ire:
            return None
        base = self._ledgers.get(method.ancestors[-3 if method.control else -2])
        return self._difference(runs, _finished(base.confirm), method.name, "base") if base else None

    def _difference(
        self, mine: Sequence[TrialRecord], others: Sequence[TrialRecord], *purpose: str
    ) -> Difference | None:
        pairs = _pairs(mine, others)
        if not pairs:
            return None
        values = np.array([[a.val_loss - b.val_loss] for a, b in pairs])
        low, high = interval(paired_draws(values, self._generator(*purpose))[:, 0])
        return Difference(value=float(values.mean()), low=low, high=high, seeds=len(pairs))

    def _generator(self, *purpose: str) -> np.random.Generator:
        return np.random.default_rng(derive_seed(self._plan.seed, "bootstrap", *purpose))


def _with(row: Row, **changes: Any) -> Row:
    return Row(**{name: getattr(row, name) for name in Row.__dataclass_fields__} | changes)


def _finished(runs: Sequence[TrialRecord]) -> list[TrialRecord]:
    return [run for run in runs if run.status == FINISHED]


def _pairs(
    left: Sequence[TrialRecord], right: Sequence[TrialRecord]
) -> list[tuple[TrialRecord, TrialRecord]]:
    """Runs of the same seed, by seed."""
    others = {run.number: run for run in right}
    return [(run, others[run.number]) for run in left if run.number in others]


def _has(runs: Sequence[TrialRecord], loss: str) -> bool:
    return all(run.reports[-1].get(loss) is not None for run in runs)


def _ends(runs: Sequence[TrialRecord], loss: str) -> Ends:
    per_step: Callable[[TrialRecord], float] = lambda run: run.gradient_evaluations / run.step  # noqa: E731
    return Ends(
        losses={run.number: run.reports[-1][loss] for run in runs},
        step_seconds={run.number: run.seconds / run.step for run in runs},
        gradients_per_step=mean(map(per_step, runs)),
    )


def _count(trials: Sequence[TrialRecord]) -> dict[str, int]:
    counts = Counter(trial.status for trial in trials)
    return {status: counts[status] for status in STATUSES}


def _metrics(records: Records) -> list[str]:
    for trial in records.trials.values():
        for report in trial.reports:
            return [key.removeprefix("val_") for key in report if key.startswith("val_")]
    return []


def settings_that_vary(plan: Plan, method: str) -> list[str]:
    """The settings of `method` that are searched, in order."""
    dimensions = plan.space.dimensions(parse_method(method))
    return [name for name, dimension in dimensions.items() if not isinstance(dimension, Fixed)]


def short_settings(plan: Plan, trial: TrialRecord) -> str:
    """The searched settings of a trial in one line."""
    return ", ".join(
        f"{name} {_short(trial.spec.settings[name])}" for name in settings_that_vary(plan, trial.method)
    )


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def published(row: Row) -> Measured | None:
    """The method with its published settings: a control, or the method itself if they won."""
    if row.winner is not None and row.winner.number == 0:
        return row
    return next((control for control in row.controls if control.name == PUBLISHED), None)
