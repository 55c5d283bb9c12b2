"""Several sweeps together: each method's speed-up on every task, their geometric mean, and performance profiles.

Folders of one task are studies of it: complete searches that differ only in their seeds, judged together as if they
were the studies of one folder. A task's interval is over its studies, or over the seeds of its only study; tasks are
not resampled.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ire.invalid_input import InvalidInput
from ire.sweeps.findings.comparison import studies_of
from ire.sweeps.findings.results import Results
from ire.sweeps.findings.statistics.horizon import ABOVE, BELOW, UNKNOWN, WITHIN
from ire.sweeps.findings.statistics.speedup import CLOCKS
from ire.sweeps.findings.statistics.verdict import (
    NOT_FINISHED,
    Judgement,
    SpeedUp,
    hardest,
    judge,
    rivals,
    speed_up_from_draws,
    with_tails,
)
from ire.sweeps.findings.yardstick import Against, Studies, Yardstick
from ire.sweeps.plan.changes import identity
from ire.sweeps.plan.options import MIN_STUDIES
from ire.sweeps.plan.plan import Plan
from ire.trial.seeds import derive_seed

MIN_PROFILE_TASKS = 3
"""With fewer tasks a profile shows no more than the table."""
REPEATED = ("methods", "trials", "candidates", "confirm_seeds", "studies", "curve", "curve_lr")
"""Fields that studies of a task have in common besides those of their trials."""
LARGEST = 50.0
"""Logarithms of ratios are clipped here: two studies may bound a ratio so little that it overflows."""


@dataclass(frozen=True)
class PooledSweeps:
    """Experiments that are reported together."""

    experiments: Sequence[Results]

    def check(self) -> None:
        """Raise `InvalidInput` if they have no method in common, or those of one task are not its studies."""
        if not self.methods:
            names = ", ".join(e.plan.name for e in self.experiments)
            raise InvalidInput(f"{names} have no method in common: give sweeps that share at least one")
        for studies in self.tasks.values():
            for first, second in itertools.combinations(studies, 2):
                _check_studies(first.plan, second.plan)
        for first, second in itertools.combinations(self.experiments, 2):
            _check_data(first.plan, second.plan)

    @cached_property
    def tasks(self) -> dict[str, list[Results]]:
        """The studies of each task."""
        found: dict[str, list[Results]] = {}
        for experiment in self.experiments:
            found.setdefault(experiment.plan.task, []).append(experiment)
        return found

    @cached_property
    def methods(self) -> list[str]:
        """The methods of every experiment."""
        first, *others = (experiment.plan.methods for experiment in self.experiments)
        return [method for method in first if all(method in other for other in others)]

    @cached_property
    def clock(self) -> str:
        """The clock of the headlines of all experiments, or gradient evaluations if they differ."""
        clocks = {experiment.comparison.clock for experiment in self.experiments}
        return clocks.pop() if len(clocks) == 1 else "gradient_evaluations"

    @cached_property
    def references(self) -> list[str]:
        """The baselines of every experiment; speed-ups are pooled for pairs of equal methods on every task."""
        return [
            name for name in self.methods if all(e.comparison.row(name).is_baseline for e in self.experiments)
        ]

    def pair(self, method: str, baseline: str, clock: str) -> tuple[SpeedUp, np.ndarray] | None:
        """The geometric mean over the tasks of a method's speed-up over one baseline, and its draws (resamples, 2).

        None if it is unknown on a task. Draws of different tasks are independent. Lower and upper bounds together give
        no bound.
        """
        found: list[SpeedUp] = []
        draws: list[np.ndarray] = []
        for task in self.tasks:
            over = self._over(task, method)
            if baseline not in over.speed_ups.get(clock, {}):
                return None
            found.append(over.speed_ups[clock][baseline])
            # sweeps with the same seed have the same variates
            generator = np.random.default_rng(derive_seed("several", task, method, baseline, clock))
            draws.append(generator.permutation(over.draws[clock][baseline]))
        logs = np.sum([np.log(own[:, 0]) for own in draws], axis=0) / len(draws)
        pooled = np.column_stack(
            [
                np.exp(np.clip(logs, -LARGEST, LARGEST)),
                _side(np.column_stack([own[:, 1] for own in draws])),
            ]
        )
        speed_up = speed_up_from_draws(
            float(np.exp(np.mean([np.log(each.ratio.value) for each in found]))),
            int(_side(np.array([[each.ratio.censored for each in found]]))[0]),
            pooled[:, 0],
            pooled[:, 1],
            units=min(sum(e.comparison.studies for e in studies) for studies in self.tasks.values()),
            whole=all(each.whole for each in found),
        )
        return speed_up, pooled

    def _over(self, task: str, method: str) -> Against:
        """A method's speed-ups on one task: over the studies of all its experiments, as if they were of one."""
        experiments = self.tasks[task]
        if len(experiments) == 1:
            return experiments[0].comparison.row(method).over
        if (task, method) not in self._over_several:
            yardstick, studies = self._yardsticks[task]
            runs = [study[method].confirm for study in studies]
            self._over_several[task, method] = yardstick.over_all(method, runs)
        return self._over_several[task, method]

    @cached_property
    def _over_several(self) -> dict[tuple[str, str], Against]:
        return {}

    @cached_property
    def _yardsticks(self) -> dict[str, tuple[Yardstick, Studies]]:
        """The yardstick of each task with several experiments, and their studies, whatever the order of the folders."""
        found: dict[str, tuple[Yardstick, Studies]] = {}
        for task, experiments in self.tasks.items():
            if len(experiments) == 1:
                continue
            ordered = sorted(experiments, key=lambda e: e.plan.seed)
            studies = [study for e in ordered for study in studies_of(e.plan, e.records)]
            found[task] = Yardstick(ordered[0].plan, studies), studies
        return found

    def pairs(self, method: str, clock: str) -> dict[str, tuple[SpeedUp, np.ndarray]]:
        """The pooled speed-ups over every reference except the method itself, and their draws."""
        if (method, clock) not in self._pairs:
            found = {name: self.pair(method, name, clock) for name in self.references if name != method}
            self._pairs[method, clock] = {name: pair for name, pair in found.items() if pair is not None}
        return self._pairs[method, clock]

    @cached_property
    def _pairs(self) -> dict[tuple[str, str], dict[str, tuple[SpeedUp, np.ndarray]]]:
        return {}

    @cached_property
    def _by_clock(self) -> dict[str, dict[str, Judgement]]:
        return {clock: self._judged(clock) for clock in CLOCKS}

    def judgements(self, clock: str) -> dict[str, Judgement]:
        """The judgement on each method over all tasks, as in one sweep; empty if a task has too few studies."""
        return self._by_clock[clock]

    def _judged(self, clock: str) -> dict[str, Judgement]:
        comparable = all(e.comparison.is_comparable for e in self.experiments)
        fewest = min(sum(e.comparison.studies for e in s) for s in self.tasks.values())
        if (
            not comparable
            or fewest < MIN_STUDIES
            or any(e.comparison.shares_trials for e in self.experiments)
        ):
            return {}
        judged: dict[str, Judgement] = {}
        for names in (self.references, [name for name in self.methods if name not in self.references]):
            looks = max(e.plan.looks for e in self.experiments)
            judged |= judge(
                {m: {b: pair[0] for b, pair in self.pairs(m, clock).items()} for m in names}, looks
            )
        return {
            method: judgement
            if all(
                e.comparison.row(name).is_finished
                for e in self.experiments
                for name in (method, *rivals(judgement, self.pairs(method, clock)))
            )
            else replace(judgement, verdict=NOT_FINISHED)
            for method, judgement in judged.items()
        }

    def pooled(self, method: str, clock: str) -> tuple[str, SpeedUp] | None:
        """The baseline that decides about a method, and the pooled speed-up over it, at the level of the verdict."""
        pairs = self.pairs(method, clock)
        if not pairs:
            return None
        judgement = self.judgements(clock).get(method)
        over = {baseline: speed_up for baseline, (speed_up, _) in pairs.items()}
        name = judgement.against if judgement else hardest(over)
        speed_up, draws = pairs[name]
        if judgement:
            speed_up = with_tails(speed_up, draws, judgement.tails)
        return name, speed_up

    def verdicts(self, clock: str) -> dict[str, str]:
        """The verdict on each method over all tasks."""
        return {method: judgement.verdict for method, judgement in self.judgements(clock).items()}

    def profile_ratios(self, clock: str) -> Mapping[str, np.ndarray]:
        """For each method the ratios (tasks,) of its time to the task's target and the fastest method's.

        A missed target is infinity. The target is the final loss of the best baseline (as in AlgoPerf, Dahl et al.
        2023); a task with several studies counts by their median. Empty below three tasks.
        """
        if len(self.tasks) < MIN_PROFILE_TASKS:
            return {}
        times = {
            method: np.array(
                [np.median([_time(e, method, clock) for e in studies]) for studies in self.tasks.values()]
            )
            for method in self.methods
        }
        if not times:
            return {}
        fastest = np.min(list(times.values()), axis=0)
        return {method: found / fastest for method, found in times.items()}


def profile(ratios: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The share of tasks on which a method's ratio is at most each of `at` (Dolan and Moré 2002)."""
    return (ratios[None] <= at[:, None]).mean(axis=1)


def _check_studies(first: Plan, second: Plan) -> None:
    both = f"{first.name} and {second.name} are both of {first.task}"
    if first.seed == second.seed:
        raise InvalidInput(
            f"{both} and have the same seed, {first.seed}: studies of a task need different seeds (`--seed`)"
        )
    one, other = (
        identity(plan) | {name: getattr(plan, name) for name in REPEATED} | {"data": None}
        for plan in (first, second)
    )
    differing = [
        f"{name} ({one[name]!r} and {other[name]!r})"
        for name in one
        if name != "seed" and one[name] != other[name]
    ]
    if differing:
        raise InvalidInput(
            f"{both}, but differ in {', '.join(differing)}, so they are not studies of one task; report them separately"
        )


def _check_data(first: Plan, second: Plan) -> None:
    """Raise `InvalidInput` if two sweeps used different data under one name; unrecorded data may be equal."""
    one, other = first.data, second.data
    if one is None or other is None or one == other or one.split()[0] != other.split()[0]:
        return
    raise InvalidInput(
        f"{first.name} was run on the data {one!r}, {second.name} on {other!r}: they cannot be compared; report them "
        "separately"
    )


def _side(censored: np.ndarray) -> np.ndarray:
    """The bounds of the means (r,) of rows (r, k) of values and bounds."""
    below, above = (np.isin(censored, (side, UNKNOWN)).any(axis=1) for side in (BELOW, ABOVE))
    return np.where(below & above, UNKNOWN, np.where(below, BELOW, np.where(above, ABOVE, WITHIN)))


def _time(results: Results, method: str, clock: str) -> float:
    """Time of a method to the target, in multiples of the best baseline's time."""
    if method == results.comparison.baseline:
        return 1.0
    found = results.comparison.row(method).time_to_target.get(clock)
    if found is None or found.ratio.censored in (BELOW, UNKNOWN):
        return np.inf
    return 1 / found.ratio.value
