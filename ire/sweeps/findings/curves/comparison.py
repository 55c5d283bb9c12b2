"""Judges every arm in curves against every baseline, with the definitions and statistics of a sweep's report.

A run is read only at its horizon, where its schedule is complete. A baseline's runs at several horizons are its
curve; with a single horizon a speed-up is only bounded. The statistical unit is a study if the table names studies,
else a run.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

import numpy as np

from ire.invalid_input import InvalidInput, unknown
from ire.sweeps.findings.clause import Clause
from ire.sweeps.findings.curves.arms import Arm, Side
from ire.sweeps.findings.curves.clauses import curve_clauses
from ire.sweeps.findings.curves.runs import CurveRun, Curves
from ire.sweeps.findings.statistics.draws import RESAMPLES, interval, median_log_ratios, paired_draws
from ire.sweeps.findings.statistics.speedup import speed_ups, speed_ups_of_means
from ire.sweeps.findings.statistics.verdict import (
    MIN_SEEDS,
    Judgement,
    SpeedUp,
    judge,
    unknown_speed_up,
)
from ire.sweeps.plan.options import MIN_STUDIES
from ire.trial.metric import LOSS, VALIDATION, Metric
from ire.trial.seeds import derive_seed

JUDGED = ("step", "gradient_evaluations")
"""Clocks that have a verdict."""
BASELINE = "baseline"
"""The arm that is the baseline if none is named."""


@dataclass(frozen=True, kw_only=True)
class CurvesComparison:
    """All arms, baselines first, and the clauses of the contract as far as curves show them."""

    arms: list[Arm]
    clock: str
    studies: int
    """Number of studies that every arm has at least."""
    paired: bool
    contract: list[Clause]
    copies: int = 0
    """Number of runs left out as copies of others."""
    metric: Metric = LOSS
    """The compared metric; runs, sides and differences hold its costs, of which lower is better."""

    @property
    def value(self) -> str:
        """The compared metric in words: `validation loss`."""
        is_plain = self.metric.name.startswith(VALIDATION)
        return f"validation {self.metric.words}" if is_plain else self.metric.name

    def mean(self, side: Side) -> tuple[float, float | None] | None:
        """Mean and standard deviation of the metric at the end of the runs of a side; None without whole runs."""
        return (self.metric.cost(side.loss[0]), side.loss[1]) if side.loss else None

    def difference(self, costs: tuple[float, float, float]) -> tuple[float, float, float]:
        """A difference of costs (value, low, high), as a difference in the metric."""
        value, low, high = map(self.metric.cost, costs)
        return value, min(low, high), max(low, high)

    @property
    def baselines(self) -> list[Arm]:
        return [arm for arm in self.arms if arm.is_baseline]

    @property
    def challengers(self) -> list[Arm]:
        return [arm for arm in self.arms if not arm.is_baseline]

    @property
    def judges_methods(self) -> bool:
        """Whether there are enough studies for a verdict about methods rather than configurations."""
        return self.studies >= MIN_STUDIES


def compare_curves(
    curves: Curves, *, baselines: Sequence[str] = (), clock: str | None = None, seed: int = 0
) -> CurvesComparison:
    """Judge every arm against all `baselines` (default: the arm named baseline); raises `InvalidInput`.

    `clock` is the clock of the headline; by default `gradient_evaluations` if every run has them, else `step`.
    """
    if clock is not None and clock not in JUDGED:
        why = "; the machines may have been busy, so wall-clock has no verdict" if clock == "wall" else ""
        raise InvalidInput(f"--clock {clock}: must be one of {', '.join(JUDGED)}{why}")
    names = _baselines(curves, baselines)
    sides = {name: _sides(curves, name) for name in curves.arms}
    arms = {name: Arm(name=name, is_baseline=name in names, sides=sides[name]) for name in curves.arms}
    if clock == "gradient_evaluations" and not curves.has_gradients:
        raise InvalidInput(
            "--clock gradient_evaluations: some runs have none; name their column with --gradients, or use "
            "--clock step"
        )
    studies = min(arm.studies for arm in arms.values())
    paired = _is_paired(arms, names)
    measured = {
        name: _measured(arm, [arms[n] for n in names], paired, seed) if not arm.is_baseline else arm
        for name, arm in arms.items()
    }
    judged: dict[str, dict[str, Judgement]] = {}
    for each in JUDGED:
        found = {name: arm.speed_ups.get(each, {}) for name, arm in measured.items() if not arm.is_baseline}
        for name, judgement in judge(found).items():
            judged.setdefault(name, {})[each] = judgement
    final = [replace(arm, judgements=judged.get(name, {})) for name, arm in measured.items()]
    final.sort(key=lambda arm: not arm.is_baseline)
    return CurvesComparison(
        arms=final,
        clock=clock or ("gradient_evaluations" if curves.has_gradients else "step"),
        studies=studies,
        paired=paired,
        contract=list(curve_clauses(curves, final, studies, paired)),
        copies=curves.copies,
        metric=curves.metric,
    )


def _baselines(curves: Curves, given: Sequence[str]) -> list[str]:
    for name in given:
        if name not in curves.arms:
            raise unknown("arm for --baseline", name, curves.arms)
    names = list(dict.fromkeys(given)) or [name for name in curves.arms if name == BASELINE]
    if not names:
        raise InvalidInput(f"name one or more baselines with --baseline: {', '.join(curves.arms)}")
    if len(names) == len(curves.arms):
        raise InvalidInput(
            f"{', '.join(names)}: every arm is a baseline, so there is nothing to judge; name the column that "
            "distinguishes arms with --arm"
        )
    return names


def _sides(curves: Curves, arm: str) -> list[Side]:
    """The sides of an arm. Without recorded horizons, a few runs that end earlier than the others count as lost."""
    runs = [run for run in curves.runs if run.arm == arm]
    counts = Counter(run.horizon for run in runs)
    most = max(counts, key=lambda horizon: (counts[horizon], horizon))
    early = {h for h, count in counts.items() if h < most and count < MIN_SEEDS}
    runs = [
        replace(run, horizon=most) if run.horizon in early and not run.is_planned else run for run in runs
    ]
    by_study = len({run.study for run in runs}) > 1
    return [
        Side(arm=arm, horizon=h, runs=[run for run in runs if run.horizon == h], by_study=by_study)
        for h in sorted({run.horizon for run in runs})
    ]


def _is_paired(arms: Mapping[str, Arm], baselines: Sequence[str]) -> bool:
    """Whether all sides that are read have the same units, identified by study or seed."""
    sides = [side for name in baselines for side in arms[name].curve]
    sides += [arm.main for arm in arms.values() if not arm.is_baseline and arm.main.is_usable]
    units = {(side.by_study, frozenset(side.units)) for side in sides}
    return len(units) == 1 and all(side.has_seeds for side in sides)


def _measured(arm: Arm, baselines: Sequence[Arm], paired: bool, seed: int) -> Arm:
    """The arm with its speed-ups over every baseline; `whole` is false if they allow no judgement."""
    by_clock: dict[str, dict[str, SpeedUp]] = {}
    draws: dict[str, dict[str, np.ndarray]] = {}
    differences = {}
    mine = arm.main
    for baseline in baselines:
        curve = baseline.curve
        if not curve or not mine.whole:
            continue
        generator = np.random.default_rng(derive_seed(seed, "curves", arm.name, baseline.name))
        at = min(curve, key=lambda side: abs(np.log(side.horizon / mine.horizon)))
        factors = np.array([side.horizon / at.horizon for side in curve])
        sides, whole = [mine, at, *curve], all(side.is_usable for side in (mine, *curve))
        joint = paired and all(mine.units.keys() <= side.units.keys() for side in curve)
        costs = _costs(mine, at, generator, by_study=joint and mine.by_study)
        if joint:  # as in a sweep's report
            losses = np.array([[side.units[key] for side in sides] for key in mine.units])
            found, drawn = speed_ups(losses, factors, costs, generator, whole=whole)
        else:
            units = min(len(side.units) for side in sides)
            means = _independent_means(sides, generator)
            found, drawn = speed_ups_of_means(means, factors, costs, units=units, whole=whole)
        for clock, speed_up in found.items():
            by_clock.setdefault(clock, {})[baseline.name] = speed_up
            draws.setdefault(clock, {})[baseline.name] = drawn[clock]
        if at.horizon == mine.horizon and mine.is_usable and at.is_usable:
            differences[baseline.name] = _difference(mine, at, generator, paired=joint)
    for clock, over in by_clock.items():
        for baseline in baselines:
            if baseline.name not in over:  # it lost its runs, or has no values on this clock
                over[baseline.name], draws[clock][baseline.name] = unknown_speed_up(len(mine.units))
    return replace(arm, speed_ups=by_clock, draws=draws, differences=differences)


def _difference(
    mine: Side, at: Side, generator: np.random.Generator, *, paired: bool
) -> tuple[float, float, float]:
    """The arm's mean final loss minus the baseline's, and the 95 % interval of the difference."""
    if paired:
        values = np.array([[mine.units[key] - at.units[key]] for key in mine.units])
        return float(values.mean()), *interval(paired_draws(values, generator)[:, 0])
    means = _independent_means([mine, at], generator)
    return float(means[0, 0] - means[0, 1]), *interval(means[1:, 0] - means[1:, 1])


def _independent_means(sides: Sequence[Side], generator: np.random.Generator) -> np.ndarray:
    """Mean losses (1 + resamples, sides): the observed means, then resampled ones, each side separately."""
    drawn: dict[int, np.ndarray] = {}
    for side in sides:
        if side.horizon not in drawn or side is sides[0]:
            values = np.array(list(side.units.values()))[:, None]
            column = np.vstack([values.mean(axis=0), paired_draws(values, generator)])[:, 0]
            drawn[-1 if side is sides[0] else side.horizon] = column
    return np.column_stack([drawn[-1], *(drawn[side.horizon] for side in sides[1:])])


def _costs(mine: Side, at: Side, generator: np.random.Generator, *, by_study: bool) -> dict[str, np.ndarray]:
    """Logarithms, by clock, that convert a ratio of horizons to a speed-up; (studies,), or else (1 + resamples,).

    They are those of the cost of a baseline step over one of the arm, times the ratio of the horizons they are read at.
    """
    studies = sorted(mine.units) if by_study else [None]
    scale = np.full(len(studies) if by_study else 1 + RESAMPLES, np.log(at.horizon / mine.horizon))
    costs = {"step": scale}

    def values(side: Side, study: str | int | None, of: Callable[[CurveRun], float | None]) -> list[float]:
        """The values of a side's runs in a study, infinity if unknown."""
        found = [of(run) for run in side.whole if study in (None, run.study)]
        return [np.inf if value is None else value for value in found]

    def pairs(of: Callable[[CurveRun], float | None]) -> list[tuple[list[float], list[float]]]:
        """The values of baseline and arm in each study; empty if any run has none."""
        found = [(values(at, study, of), values(mine, study, of)) for study in studies]
        return found if all(np.isfinite(own).all() for pair in found for own in pair) else []

    if gradients := pairs(lambda run: run.gradients_per_step):
        logs = np.array([np.log(fmean(base) / fmean(own)) for base, own in gradients])
        costs["gradient_evaluations"] = scale + logs
    seconds = pairs(lambda run: run.step_seconds)
    if seconds and all(min(own) > 0 for pair in seconds for own in pair):
        if by_study:
            costs["wall"] = scale + np.array([np.log(median(base) / median(own)) for base, own in seconds])
        else:
            base, own = map(np.array, seconds[0])
            costs["wall"] = scale + median_log_ratios(base, own, generator)
    return costs
