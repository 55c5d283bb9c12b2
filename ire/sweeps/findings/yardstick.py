"""The tuned baselines, and how methods are measured against each of them.

The compared values are those at the end of runs, on the test split if the task has one, since nothing was chosen by it.
The statistical unit is a study; within a single study it is a seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median

import numpy as np

from ire.sweeps.findings.statistics.draws import median_log_ratios
from ire.sweeps.findings.statistics.speedup import CLOCKS, speed_ups
from ire.sweeps.findings.statistics.verdict import SpeedUp, unknown_speed_up
from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import DIVERGED, FINISHED, TrialRecord
from ire.sweeps.search.ledger import Ledger
from ire.sweeps.search.stages import baseline_is_settled, best_baseline, curve_baselines, curve_contests, lost
from ire.sweeps.search.timing import is_timed, step_seconds
from ire.trial.seeds import derive_seed

TEST, VALIDATION = "test", "validation"
QUIET = 0.1
"""Largest spread of a winner's turns in a quiet pass, as a share of their median (`Yardstick.spread`)."""

Studies = Sequence[Mapping[str, Ledger]]
"""The ledgers of each study, by method."""


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """A baseline at one horizon, in one study."""

    factor: float
    """Its horizon, in multiples of the task's."""
    runs: list[TrialRecord]
    lost: int = 0
    """Number of runs that diverged or failed."""
    study: int = 0
    baseline: str = ""


@dataclass(frozen=True, kw_only=True)
class Against:
    """A method's speed-ups over every tuned baseline, by clock and baseline, and the draws of each (resamples, 2)."""

    speed_ups: Mapping[str, Mapping[str, SpeedUp]] = field(default_factory=dict[str, dict[str, SpeedUp]])
    draws: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict[str, dict[str, np.ndarray]])


def finished(runs: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The finished runs among `runs`."""
    return [run for run in runs if run.status == FINISHED]


class Yardstick:
    """Measures methods against the tuned baselines of a sweep."""

    def __init__(self, plan: Plan, studies: Studies) -> None:
        self._plan, self._studies, self._metric = plan, studies, plan.space.metric
        self.is_settled = all(baseline_is_settled(study.values()) for study in studies)
        """Whether every baseline of every study has been confirmed."""
        self._curves = [_curve(plan, study) for study in studies]
        self.curves = [point for curve in self._curves for point in curve]
        self.judged_on = self._judged_on()
        self.spread = self._spread()

    def baselines(self) -> list[str]:
        """The baselines that have been confirmed in every study, best mean final validation first.

        A baseline that lost runs is left out, unless it is the best one of its study.
        """
        first = self._studies[0]
        names = [name for name, ledger in first.items() if ledger.is_baseline]

        def is_usable(ledger: Ledger, study: Mapping[str, Ledger]) -> bool:
            is_whole = not lost(ledger.confirm) or ledger is best_baseline(study.values())
            return ledger.mean_cost is not None and is_whole

        usable = [name for name in names if all(is_usable(study[name], study) for study in self._studies)]
        costs = {name: [study[name].mean_cost for study in self._studies] for name in usable}
        return sorted(usable, key=lambda name: fmean(cost for cost in costs[name] if cost is not None))

    @property
    def is_timed(self) -> bool:
        """Whether wall-clock may be judged: if a sweep has a quiet pass, it must have been quiet."""
        return not is_timed(self._plan) or (self.spread is not None and self.spread <= QUIET)

    def to_beat(self) -> list[str]:
        """The baselines that a faster method must beat: `baselines`, then those with lost runs.

        A baseline is left out if all its runs in some study diverged.
        """
        first = self._studies[0]
        names = [name for name, ledger in first.items() if ledger.is_baseline]
        runs = {name: [study[name].confirm for study in self._studies] for name in names}
        usable = self.baselines()
        return usable + [
            name
            for name in names
            if name not in usable
            and all(runs[name])
            and not any(all(run.status == DIVERGED for run in of_study) for of_study in runs[name])
        ]

    def over_all(self, method: str, runs: Sequence[Sequence[TrialRecord]], *purpose: str) -> Against:
        """The speed-ups of `runs`, one sequence per study, over every baseline to beat except `method` itself.

        A speed-up is unknown over a baseline that lost the runs needed for it.
        """
        found: dict[str, dict[str, SpeedUp]] = {clock: {} for clock in CLOCKS}
        draws: dict[str, dict[str, np.ndarray]] = {clock: {} for clock in CLOCKS}
        if not self.is_settled or not all(map(finished, runs)):
            return Against()
        to_beat = [name for name in self.to_beat() if name != method]
        for baseline in to_beat:
            by_clock, drawn = self.over(method, runs, baseline, *purpose)
            for clock, speed_up in by_clock.items():
                found[clock][baseline] = speed_up
                draws[clock][baseline] = drawn[clock]
        for clock, over in found.items():
            for baseline in to_beat if over else ():
                if baseline not in over:
                    over[baseline], draws[clock][baseline] = unknown_speed_up(len(self._studies))
        return Against(
            speed_ups={clock: over for clock, over in found.items() if over},
            draws={clock: over for clock, over in draws.items() if over},
        )

    def over(
        self,
        method: str,
        runs: Sequence[Sequence[TrialRecord]],
        baseline: str,
        *purpose: str,
        split: str | None = None,
    ) -> tuple[dict[str, SpeedUp], dict[str, np.ndarray]]:
        """The speed-ups by clock over one baseline, and their draws; empty without a curve or a common seed.

        Each study uses the baseline's own curve, or that of its best baseline if this one has none.
        """
        value = self._metric.on_test if (split or self.judged_on) == TEST else self._metric.name
        factors = np.array(sorted({1.0, *self._plan.curve}))
        whole = True
        rows: list[np.ndarray] = []
        units: list[tuple[Ledger, Sequence[TrialRecord]]] = []
        for number, (study, mine) in enumerate(zip(self._studies, runs, strict=True)):
            curve = self._points(number, baseline)
            sides = [self._ends(mine, value), self._ends(study[baseline].confirm, value)]
            sides += [self._ends(curve.get(factor, []), value) for factor in factors]
            seeds = sorted(set[int].intersection(*map(set, sides)))
            whole &= len(seeds) == self._plan.confirm_seeds
            if not seeds:
                return {}, {}
            table = np.array([[side[seed] for side in sides] for seed in seeds])
            rows.append(table)
            units.append((study[baseline], mine))
        if len(factors) < 2:
            return {}, {}
        one = len(rows) == 1
        losses = rows[0] if one else np.array([table.mean(axis=0) for table in rows])
        purpose = purpose or (method, value)
        generator = np.random.default_rng(derive_seed(self._plan.seed, "bootstrap", *purpose, baseline))
        costs = {"step": np.zeros(len(losses))}
        gradients = self._gradient_costs(units, len(losses))
        if gradients is not None:
            costs["gradient_evaluations"] = gradients
        wall = self._wall_costs(method, baseline, units, generator)
        if wall is not None:
            costs["wall"] = wall
        return speed_ups(
            losses, factors, costs, generator, whole=whole, paired=self._plan.paired is not False
        )

    def _ends(self, runs: Sequence[TrialRecord], name: str) -> dict[int, float]:
        """The final costs of runs, by the number of their seed."""
        return {
            run.number: self._metric.cost(run.final(name))
            for run in finished(runs)
            if run.reports[-1].get(name) is not None
        }

    def _points(self, study: int, baseline: str) -> dict[float, list[TrialRecord]]:
        own = [p for p in self._curves[study] if p.baseline == baseline]
        if len(own) < 2:
            best = best_baseline(self._studies[study].values())
            own = [p for p in self._curves[study] if best and p.baseline == best.method.name]
        return {point.factor: point.runs for point in own}

    def _gradient_costs(
        self, units: list[tuple[Ledger, Sequence[TrialRecord]]], rows: int
    ) -> np.ndarray | None:
        """Logarithms of the ratio of gradients per step, one per unit; None if a side counted none."""
        pairs = [(_gradients_per_step(base.confirm), _gradients_per_step(mine)) for base, mine in units]
        if not all(map(all, pairs)):
            return None
        logs = [np.log(base / mine) for base, mine in pairs]
        return np.array(logs) if len(logs) == rows else np.full(rows, logs[0])

    def _wall_costs(
        self,
        method: str,
        baseline: str,
        units: list[tuple[Ledger, Sequence[TrialRecord]]],
        generator: np.random.Generator,
    ) -> np.ndarray | None:
        """Logarithms of the ratio of step times, one per unit, or draws of it within one study; None if unknown."""
        pairs: list[tuple[list[float], list[float]]] = []
        for number, (base, mine) in enumerate(units):
            if is_timed(self._plan):
                ledger = self._studies[number].get(method)
                times = step_seconds(base), step_seconds(ledger) if ledger else []
            else:
                times = _seconds(base.confirm), _seconds(mine)
            if not all(times) or not all(map(median, times)):
                return None
            pairs.append(times)
        if len(pairs) == 1:
            return median_log_ratios(np.array(pairs[0][0]), np.array(pairs[0][1]), generator)
        return np.array([np.log(median(one) / median(other)) for one, other in pairs])

    def _judged_on(self) -> str:
        """The test split if every method has a value there, except in sweeps older than studies; else validation.

        A single run without a value, whose test loss is not finite, is missing there.
        """
        known: dict[str, bool] = {}
        for name, ledger in (each for study in self._studies for each in study.items()):
            if runs := finished(ledger.confirm):
                has_values = any(run.reports[-1].get(self._metric.on_test) is not None for run in runs)
                known[name] = known.get(name, True) and has_values
        return TEST if known and all(known.values()) and self._plan.rules > 1 else VALIDATION

    def _spread(self) -> float | None:
        """The range of a winner's turn times as a share of their median; the median over the winners."""
        turns = [step_seconds(ledger) for study in self._studies for ledger in study.values()]
        spreads = [
            (max(times) - min(times)) / median(times)
            for times in turns
            if len(times) > 1 and median(times) > 0
        ]
        return median(spreads) if spreads else None


def _curve(plan: Plan, study: Mapping[str, Ledger]) -> list[CurvePoint]:
    """The points of every curve of a study, including the task's horizon, by baseline and rising horizon."""
    ledgers = list(study.values())
    own = ledgers[0].plan
    points: list[CurvePoint] = []
    for baseline in curve_baselines(own, ledgers) or [b for b in [best_baseline(ledgers)] if b]:
        points.append(_point(baseline, 1.0, baseline.confirm))
        points += [
            _point(baseline, contest.horizon_factor, contest.measured)
            for contest in curve_contests(own, ledgers)
            if contest.arm == baseline.method.name
        ]
    return sorted((p for p in points if p.runs), key=lambda p: (p.baseline, p.factor))


def _point(baseline: Ledger, factor: float, runs: Sequence[TrialRecord]) -> CurvePoint:
    return CurvePoint(
        factor=factor,
        runs=finished(runs),
        lost=lost(runs) if factor != 1.0 else 0,
        study=baseline.study,
        baseline=baseline.method.name,
    )


def _gradients_per_step(runs: Sequence[TrialRecord]) -> float:
    return fmean(run.gradient_evaluations / run.step for run in finished(runs))


def _seconds(runs: Sequence[TrialRecord]) -> list[float]:
    return [run.seconds / run.step for run in finished(runs)]
