"""The arms in a table of curves: their runs by horizon, and the findings about each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean, stdev

import numpy as np

from ire.sweeps.findings.curves.runs import CurveRun
from ire.sweeps.findings.statistics.verdict import MIN_SEEDS, Judgement, SpeedUp, hardest, with_tails


@dataclass(frozen=True, kw_only=True)
class Side:
    """The runs of one arm at one horizon."""

    arm: str
    horizon: int
    runs: list[CurveRun]
    by_study: bool
    """Whether its units are studies: the arm has several, here or at another horizon."""

    @property
    def whole(self) -> list[CurveRun]:
        return [run for run in self.runs if run.is_whole]

    @property
    def lost(self) -> int:
        """Number of runs that ended before their horizon, or without a finite loss."""
        return len(self.runs) - len(self.whole)

    @cached_property
    def units(self) -> dict[str | int, float]:
        """Mean final loss by study; within a single study, final losses by seed, or by position without seeds."""
        if self.by_study:
            there = sorted({run.study for run in self.whole})
            return {study: fmean(run.loss for run in self.whole if run.study == study) for study in there}
        seeds = [run.seed for run in self.whole if run.seed is not None]
        if len(set(seeds)) < len(self.whole):
            return {position: run.loss for position, run in enumerate(self.whole)}
        return dict(zip(seeds, (run.loss for run in self.whole), strict=True))

    @property
    def has_seeds(self) -> bool:
        """Whether its units are studies, or runs with distinct seeds."""
        seeds = {run.seed for run in self.whole if run.seed is not None}
        return self.by_study or len(seeds) == len(self.whole)

    @property
    def studies(self) -> int:
        """Number of studies in it."""
        return len({run.study for run in self.runs})

    @property
    def is_usable(self) -> bool:
        """Whether its spread is known and none of its runs was lost."""
        return not self.lost and len(self.units) >= MIN_SEEDS

    @property
    def loss(self) -> tuple[float, float | None] | None:
        """Mean and standard deviation (None of a single run) of the final losses of its runs."""
        losses = [run.loss for run in self.whole]
        return (fmean(losses), stdev(losses) if len(losses) > 1 else None) if losses else None


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One arm and the findings about it; the mappings are empty for a baseline, or without findings."""

    name: str
    is_baseline: bool
    sides: list[Side]
    """By rising horizon."""
    speed_ups: Mapping[str, Mapping[str, SpeedUp]] = field(default_factory=dict[str, dict[str, SpeedUp]])
    """By clock and baseline."""
    draws: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict[str, dict[str, np.ndarray]])
    judgements: Mapping[str, Judgement] = field(default_factory=dict[str, Judgement])
    """By clock; not on wall-clock, since the machines may have been busy."""
    differences: Mapping[str, tuple[float, float, float]] = field(
        default_factory=dict[str, tuple[float, float, float]]
    )
    """Final loss minus the baseline's and its 95 % interval, by baseline with runs at its horizon."""

    @property
    def main(self) -> Side:
        """The side on which the arm is judged: the horizon with the most runs, the longest of equal ones."""
        return max(self.sides, key=lambda side: (len(side.runs), side.horizon))

    @property
    def curve(self) -> list[Side]:
        """The horizons of a baseline's curve: all usable ones, else all with whole runs only."""
        return [side for side in self.sides if side.is_usable] or [
            side for side in self.sides if side.whole and not side.lost
        ]

    @property
    def studies(self) -> int:
        """Number of studies that every side on which a judgement rests has at least."""
        return min(side.studies for side in (self.is_baseline and self.curve) or [self.main])

    def against(self, clock: str) -> str | None:
        """The decisive baseline on a clock: the judgement's, else the one with the smallest speed-up over it."""
        over = self.speed_ups.get(clock)
        if not over:
            return None
        judgement = self.judgements.get(clock)
        return judgement.against if judgement else hardest(over)

    def speed_up(self, clock: str) -> SpeedUp | None:
        """The speed-up over that baseline, at the level of the judgement."""
        name = self.against(clock)
        if name is None:
            return None
        found, judgement = self.speed_ups[clock][name], self.judgements.get(clock)
        if judgement is None:
            return found
        return with_tails(found, self.draws[clock][name], judgement.tails)
