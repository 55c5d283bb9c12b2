"""The arms of a table of curves: their runs by horizon, and what was found of each."""

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

    @property
    def whole(self) -> list[CurveRun]:
        return [run for run in self.runs if run.is_whole]

    @property
    def lost(self) -> int:
        """Runs that ended before their horizon, or without a finite loss."""
        return len(self.runs) - len(self.whole)

    @cached_property
    def units(self) -> dict[str | int, float]:
        """Mean final loss by study; of one study, final losses by seed, or by position where there are no seeds."""
        studies = {run.study for run in self.runs}
        if len(studies) > 1:
            there = sorted({run.study for run in self.whole})
            return {study: fmean(run.loss for run in self.whole if run.study == study) for study in there}
        seeds = [run.seed for run in self.whole if run.seed is not None]
        if len(set(seeds)) < len(self.whole):
            return {position: run.loss for position, run in enumerate(self.whole)}
        return dict(zip(seeds, (run.loss for run in self.whole), strict=True))

    @property
    def has_seeds(self) -> bool:
        """Whether its units are studies, or runs told apart by seed."""
        seeds = {run.seed for run in self.whole if run.seed is not None}
        return len({run.study for run in self.runs}) > 1 or len(seeds) == len(self.whole)

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
