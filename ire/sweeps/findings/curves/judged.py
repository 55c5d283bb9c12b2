"""What curves show: every arm against every baseline, by the definitions and the statistics of a sweep's report.

A run is read at its horizon alone, where its schedule is complete. A baseline's runs at several horizons are its curve;
with a single horizon a speed-up is only bounded. The unit is a study, if the table names them, else a run.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import fmean, median, stdev

import numpy as np

from ire.invalid_input import InvalidInput, unknown
from ire.sweeps.findings.contract import Clause
from ire.sweeps.findings.curves.runs import CurveRun, Curves
from ire.sweeps.findings.statistics.draws import RESAMPLES, interval, median_ratios, paired_draws
from ire.sweeps.findings.statistics.speedup import speed_ups, speed_ups_of_means
from ire.sweeps.findings.statistics.verdict import (
    MIN_SEEDS,
    Judgement,
    SpeedUp,
    judge,
    speed_up_from_draws,
)
from ire.sweeps.plan.options import MIN_STUDIES
from ire.trial.seeds import derive_seed

BASELINE = "baseline"
"""The arm that is the yardstick if none is named."""
UNSEEN = {
    "budget": "whether every arm was tuned with the same budget and in the same ranges",
    "choice": "whether runs or settings were chosen by the losses that are compared",
    "hardware": "whether the machines were alike and quiet, without which there is no verdict on wall-clock,",
}
"""Clauses that no curve tells of."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """The runs of one arm at one horizon."""

    arm: str
    horizon: int
    runs: list[CurveRun]

    @property
    def whole(self) -> list[CurveRun]:
        return [run for run in self.runs if run.is_whole]

    @property
    def lost(self) -> int:
        """Runs that ended before their horizon, or without a finite loss."""
        return len(self.runs) - len(self.whole)

    @cached_property
    def units(self) -> dict[int, float]:
        """Mean final loss by study; of one study, final losses by seed, or by position where there are no seeds."""
        studies = {run.study for run in self.runs}
        if len(studies) > 1:
            there = sorted({run.study for run in self.whole})
            return {study: fmean(run.loss for run in self.whole if run.study == study) for study in there}
        keys = [run.seed for run in self.whole]
        if None in keys or len(set(keys)) < len(keys):
            keys = list(range(len(keys)))
        return dict(zip(keys, (run.loss for run in self.whole), strict=True))

    @property
    def has_seeds(self) -> bool:
        """Whether its units are studies, or runs told apart by seed."""
        seeds = [run.seed for run in self.whole]
        return len({run.study for run in self.runs}) > 1 or (
            None not in seeds and len(set(seeds)) == len(seeds)
        )

    @property
    def is_usable(self) -> bool:
        """Whether its spread is known and no run of it was lost."""
        return not self.lost and len(self.units) >= MIN_SEEDS

    @property
    def loss(self) -> tuple[float, float] | None:
        """Mean and standard deviation of the final losses of its runs."""
        losses = [run.loss for run in self.whole]
        return (fmean(losses), stdev(losses) if len(losses) > 1 else 0.0) if losses else None


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One arm and what is said about it; the mappings are empty for a baseline, or where nothing can be said."""

    name: str
    is_baseline: bool
    sides: list[Side]
    """By rising horizon."""
    speed_ups: Mapping[str, Mapping[str, SpeedUp]] = field(default_factory=dict)
    """By clock and baseline."""
    draws: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    judgements: Mapping[str, Judgement] = field(default_factory=dict)
    """By clock; none on wall-clock, which nobody has measured quietly."""
    differences: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    """By baseline that has runs at its horizon: final loss minus the baseline's, and its 95 % interval."""

    @property
    def main(self) -> Side:
        """The horizon with the most runs, of equals the longest: where the arm is judged."""
        return max(self.sides, key=lambda side: (len(side.runs), side.horizon))

    @property
    def curve(self) -> list[Side]:
        """Horizons at which a baseline is read: those that carry a judgement, else all that have whole runs."""
        return [side for side in self.sides if side.is_usable] or [
            side for side in self.sides if side.whole and not side.lost
        ]

    def against(self, clock: str) -> str | None:
        """The baseline that decides on a clock: the judgement's, else the one over which the speed-up is smallest."""
        over = self.speed_ups.get(clock)
        if not over:
            return None
        judgement = self.judgements.get(clock)
        return judgement.against if judgement else min(over, key=lambda name: over[name].ratio.value)

    def speed_up(self, clock: str) -> SpeedUp | None:
        """The speed-up over that baseline, at the level of the judgement."""
        name = self.against(clock)
        if name is None:
            return None
        found, judgement = self.speed_ups[clock][name], self.judgements.get(clock)
        if judgement is None:
            return found
        drawn = self.draws[clock][name]
        return speed_up_from_draws(
            found.ratio.value,
            found.ratio.censored,
            drawn[:, 0],
            drawn[:, 1],
            units=found.units,
            whole=found.whole,
            tails=judgement.tails,
        )


@dataclass(frozen=True, kw_only=True)
class CurvesComparison:
    """All arms, baselines first, and the clauses of the contract as far as curves tell."""

    arms: list[Arm]
    clock: str
    studies: int
    paired: bool
    contract: list[Clause]
    copies: int = 0
    """Runs that were left out as copies of others."""

    @property
    def baselines(self) -> list[Arm]:
        return [arm for arm in self.arms if arm.is_baseline]

    @property
    def challengers(self) -> list[Arm]:
        return [arm for arm in self.arms if not arm.is_baseline]

    @property
    def judges_methods(self) -> bool:
        """Whether there are enough studies to speak of methods, and not of the configurations that were run."""
        return self.studies >= MIN_STUDIES


def compare_curves(
    curves: Curves, *, baselines: Sequence[str] = (), clock: str | None = None, seed: int = 0
) -> CurvesComparison:
    """Judge every arm against every one of `baselines` (default: the arm of that name); raises `InvalidInput`.

    `clock` is that of the headline: `gradient_evaluations` if the table has them of every run, else `step`.
    """
    names = _baselines(curves, baselines)
    sides = {name: _sides(curves, name) for name in curves.arms}
    arms = {name: Arm(name=name, is_baseline=name in names, sides=sides[name]) for name in curves.arms}
    has_gradients = all(run.gradients_per_step is not None for run in curves.runs)
    if clock == "gradient_evaluations" and not has_gradients:
        raise InvalidInput(
            "--clock gradient_evaluations: some runs have none; --gradients names their column, --clock step does "
            "without"
        )
    studies = len({run.study for run in curves.runs})
    paired = _is_paired(arms, names)
    measured = {
        name: _measured(arm, [arms[n] for n in names], studies, paired, seed) if not arm.is_baseline else arm
        for name, arm in arms.items()
    }
    judged: dict[str, dict[str, Judgement]] = {}
    for each in ("step", "gradient_evaluations"):
        found = {name: arm.speed_ups.get(each, {}) for name, arm in measured.items() if not arm.is_baseline}
        for name, judgement in judge(found).items():
            judged.setdefault(name, {})[each] = judgement
    final = [replace(arm, judgements=judged.get(name, {})) for name, arm in measured.items()]
    final.sort(key=lambda arm: not arm.is_baseline)
    return CurvesComparison(
        arms=final,
        clock=clock or ("gradient_evaluations" if has_gradients else "step"),
        studies=studies,
        paired=paired,
        contract=list(_clauses(curves, final, studies, paired)),
        copies=curves.copies,
    )


def _baselines(curves: Curves, given: Sequence[str]) -> list[str]:
    for name in given:
        if name not in curves.arms:
            raise unknown("arm for --baseline", name, curves.arms)
    names = list(given) or [name for name in curves.arms if name == BASELINE]
    if not names:
        raise InvalidInput(f"name the yardstick with --baseline, one or more of: {', '.join(curves.arms)}")
    if len(names) == len(curves.arms):
        raise InvalidInput(
            f"{', '.join(names)}: every arm is a baseline, so there is nothing to judge; --arm names the column that "
            "tells arms apart"
        )
    return names


def _sides(curves: Curves, arm: str) -> list[Side]:
    """An arm by horizon. Without recorded horizons, a few runs that end earlier than the rest count as lost there."""
    runs = [run for run in curves.runs if run.arm == arm]
    counts = Counter(run.horizon for run in runs)
    if "horizon" not in curves.columns:
        most = max(counts, key=lambda horizon: (counts[horizon], horizon))
        early = {h for h, count in counts.items() if h < most and count < MIN_SEEDS}
        runs = [replace(run, horizon=most) if run.horizon in early else run for run in runs]
    horizons = sorted({run.horizon for run in runs})
    return [Side(arm=arm, horizon=h, runs=[run for run in runs if run.horizon == h]) for h in horizons]


def _is_paired(arms: Mapping[str, Arm], baselines: Sequence[str]) -> bool:
    """Whether every side that is read has the same units, told apart by study or seed."""
    sides = [side for name in baselines for side in arms[name].curve]
    sides += [arm.main for arm in arms.values() if not arm.is_baseline and arm.main.is_usable]
    units = {frozenset(side.units) for side in sides}
    return len(units) == 1 and all(side.has_seeds for side in sides)


def _measured(arm: Arm, baselines: Sequence[Arm], studies: int, paired: bool, seed: int) -> Arm:
    """An arm with its speed-ups over every baseline; `whole` is false where they cannot carry a judgement."""
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
        costs = _costs(mine, at, generator, by_study=joint and studies > 1)
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
    return replace(arm, speed_ups=by_clock, draws=draws, differences=differences)


def _difference(
    mine: Side, at: Side, generator: np.random.Generator, *, paired: bool
) -> tuple[float, float, float]:
    """The arm's mean final loss minus the baseline's, and its 95 % interval."""
    if paired:
        values = np.array([[mine.units[key] - at.units[key]] for key in mine.units])
        return float(values.mean()), *interval(paired_draws(values, generator)[:, 0])
    means = _independent_means([mine, at], generator)
    return float(means[0, 0] - means[0, 1]), *interval(means[1:, 0] - means[1:, 1])


def _independent_means(sides: Sequence[Side], generator: np.random.Generator) -> np.ndarray:
    """Mean losses (1 + resamples, sides): the values, then draws of each side by itself."""
    drawn: dict[int, np.ndarray] = {}
    for side in sides:
        if side.horizon not in drawn or side is sides[0]:
            values = np.array(list(side.units.values()))[:, None]
            column = np.vstack([values.mean(axis=0), paired_draws(values, generator)])[:, 0]
            drawn[-1 if side is sides[0] else side.horizon] = column
    return np.column_stack([drawn[-1], *(drawn[side.horizon] for side in sides[1:])])


def _costs(mine: Side, at: Side, generator: np.random.Generator, *, by_study: bool) -> dict[str, np.ndarray]:
    """By clock: logarithms, of each study or (1 + resamples,), that turn a ratio of horizons into a speed-up.

    What a step of the baseline costs over one of the arm, and how much longer the horizon is at which it is read.
    """
    studies = sorted(mine.units) if by_study else [None]
    parts = [
        [[run for run in side.whole if study in (None, run.study)] for side in (at, mine)]
        for study in studies
    ]
    scale = np.full(len(studies) if by_study else 1 + RESAMPLES, np.log(at.horizon / mine.horizon))
    costs = {"step": scale}
    gradients = [[[run.gradients_per_step for run in runs] for runs in part] for part in parts]
    if all(None not in values for part in gradients for values in part):
        logs = np.array([np.log(fmean(base) / fmean(own)) for base, own in gradients])
        costs["gradient_evaluations"] = scale + logs
    seconds = [[[run.step_seconds for run in runs] for runs in part] for part in parts]
    if all(None not in values and min(values) > 0 for part in seconds for values in part):
        if by_study:
            costs["wall"] = scale + np.array([np.log(median(base) / median(own)) for base, own in seconds])
        else:
            costs["wall"] = scale + np.log(median_ratios(*map(np.array, seconds[0]), generator))
    return costs


def _clauses(curves: Curves, arms: Sequence[Arm], studies: int, paired: bool) -> Iterator[Clause]:
    """The contract of a sweep, each clause as far as the table tells."""
    baselines = [arm for arm in arms if arm.is_baseline]
    unusable = [arm.name for arm in baselines if not any(side.is_usable for side in arm.sides)]
    yield Clause(
        name="runs",
        kept=not unusable,
        text=f"every arm that is judged has {MIN_SEEDS} runs or more at its horizon, and none was lost"
        + (f"; of {', '.join(unusable)} no horizon has" if unusable else ""),
    )
    yield _schedules(curves, arms)
    single = [arm.name for arm in baselines if len(arm.curve) == 1]
    told = [f"{a.name} at {', '.join(str(s.horizon) for s in a.curve) or 'no horizon'}" for a in baselines]
    bounded = f"; with one horizon ({', '.join(single)}) it is only bounded" if single else ""
    yield Clause(
        name="curve",
        kept=not single and not unusable,
        text=f"a speed-up is read from the baseline's final losses at several horizons: {'; '.join(told)}{bounded}",
    )
    pairs = "runs are paired by seed" if studies < 2 else "arms are paired by study"
    if not paired:
        pairs = "the arms' runs have no common seeds, so intervals are those of independent runs"
    yield Clause(name="seeds", kept=paired or None, text=pairs)
    yield Clause(
        name="studies",
        kept=studies >= MIN_STUDIES or None,
        text=f"{studies} stud{'y' if studies == 1 else 'ies'}; a verdict about methods needs {MIN_STUDIES} whole "
        "searches of every arm (--study names their column), fewer compare the configurations that were run",
    )
    cost = "steps are converted into gradient evaluations by what they cost"
    if "gradients" not in curves.columns:
        cost = "whether a step costs the same in every arm is not known: there is no column of gradient evaluations"
    yield Clause(name="cost of a step", kept="gradients" in curves.columns or None, text=cost)
    for name, text in UNSEEN.items():
        yield Clause(name=name, kept=None, text=f"{text} is not in the curves")


def _schedules(curves: Curves, arms: Sequence[Arm]) -> Clause:
    """Whether every run ended where its schedule did."""
    lost = [f"{s.arm} {s.lost} of {len(s.runs)} at {s.horizon}" for a in arms for s in a.sides if s.lost]
    if "horizon" not in curves.columns:
        text = (
            "whether every run ended with its schedule complete is not known: there is no column of horizons"
        )
        if lost:
            text += f"; fewer than {MIN_SEEDS} runs end before the others of their arm, or diverged: {'; '.join(lost)}"
        return Clause(name="schedules", kept=False if lost else None, text=text)
    text = "every run must end at its horizon with a finite loss"
    if lost:
        text += f"; these did not, and their arms are not judged: {'; '.join(lost)} (--horizon none: runs are read "
        text += "at their last step, wherever their schedule would have ended)"
    return Clause(name="schedules", kept=not lost, text=text)
