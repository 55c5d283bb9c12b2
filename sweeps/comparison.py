"""What a sweep has found so far: one row a method, computed from the records alone."""

from collections import Counter
from dataclasses import dataclass, field, replace
from statistics import mean, stdev
from typing import Any

from search_spaces import Fixed
from sweeps.ledger import Ledger
from sweeps.plan import Plan
from sweeps.records import DIVERGED, FAILED, FINISHED, PRUNED, RUNNING, Records, TrialRecord
from sweeps.speedup import CLOCKS, SpeedUp, speed_up
from sweeps.stages import best_baseline, is_over
from trainables.methods import parse_method

STATUSES = (FINISHED, PRUNED, DIVERGED, FAILED, RUNNING)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method's results; None where there is none yet."""

    method: str
    is_baseline: bool
    winner: TrialRecord | None
    """The search's best trial by final validation loss."""
    statuses: dict[str, int]
    """Search trials by status."""
    spent: int
    """Gradient evaluations of the search."""
    training_seconds: float
    """Of search and confirm runs together, over all their workers' shared clocks."""
    confirmed: list[TrialRecord]
    """Finished confirm runs, by seed."""
    confirm_statuses: dict[str, int]
    speed_ups: dict[str, SpeedUp] = field(default_factory=dict)
    """By clock; empty for the best baseline itself and without a common confirm seed."""

    @property
    def lost_confirm_runs(self) -> int:
        """Confirm runs that diverged or failed: they have no curve, and no verdict may rest on the others."""
        return self.confirm_statuses[DIVERGED] + self.confirm_statuses[FAILED]

    def metric(self, name: str) -> tuple[float, float] | None:
        """Mean and standard deviation over the confirm seeds of a metric of the last report."""
        values = [
            trial.reports[-1][name] for trial in self.confirmed if trial.reports[-1].get(name) is not None
        ]
        if not values:
            return None
        return mean(values), stdev(values) if len(values) > 1 else 0.0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All rows of a sweep and the baseline that they are measured against."""

    rows: list[Row]
    baseline: str | None
    """The best tuned baseline: the lowest mean final validation loss over its confirm seeds."""
    is_complete: bool
    metrics: list[str]
    """The task's metrics without their split: loss first."""


def compare(plan: Plan, records: Records) -> Comparison:
    """The comparison of a folder's records, complete or not."""
    ledgers = {method: Ledger(plan, method, records.trials.values()) for method in plan.methods}
    rows = [_row(ledger) for ledger in ledgers.values()]
    settled = best_baseline(ledgers.values())
    if settled is not None:
        best = next(row for row in rows if row.method == settled.method.name)
        rows = [row if row is best else _with_speed_ups(row, best, plan.seed) for row in rows]
    return Comparison(
        rows=rows,
        baseline=settled.method.name if settled else None,
        is_complete=is_over(plan, ledgers),
        metrics=_metrics(records),
    )


def _row(ledger: Ledger) -> Row:
    return Row(
        method=ledger.method.name,
        is_baseline=ledger.method.is_baseline,
        winner=ledger.winner,
        statuses=_count(ledger.search),
        spent=ledger.spent,
        training_seconds=sum(t.seconds for t in ledger.search + ledger.later),
        confirmed=sorted((t for t in ledger.confirm if t.status == FINISHED), key=lambda t: t.number),
        confirm_statuses=_count(ledger.confirm),
    )


def _count(trials: list[TrialRecord]) -> dict[str, int]:
    counts = Counter(trial.status for trial in trials)
    return {status: counts[status] for status in STATUSES}


def _with_speed_ups(row: Row, best: Row, seed: int) -> Row:
    mine = {trial.number: trial.reports for trial in row.confirmed}
    pairs = [(trial.reports, mine[trial.number]) for trial in best.confirmed if trial.number in mine]
    if not pairs:
        return row
    baseline, method = zip(*pairs, strict=True)
    whole = not (row.lost_confirm_runs or best.lost_confirm_runs)
    found = {clock: speed_up(baseline, method, clock, seed=seed, whole=whole) for clock in CLOCKS}
    return replace(row, speed_ups=found)


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
