"""Several sweeps together: each method's speed-up on every task, their geometric mean, and performance profiles.

Folders of one task are studies of it: whole searches that were repeated with other seeds and nothing else. A task's
interval is then over its studies, else over its seeds; tasks are what they are and not resampled.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ire.invalid_input import InvalidInput
from ire.sweeps.findings.comparison import Row
from ire.sweeps.findings.results import Results
from ire.sweeps.findings.statistics.draws import RESAMPLES, paired_draws
from ire.sweeps.findings.statistics.horizon import ABOVE, BELOW, UNKNOWN, WITHIN
from ire.sweeps.findings.statistics.verdict import NOT_SHOWN, Ratio, SpeedUp, speed_up_from_draws, verdicts
from ire.sweeps.plan.changes import identity
from ire.sweeps.plan.plan import Plan
from ire.trial.seeds import derive_seed

MIN_PROFILE_TASKS = 3
"""With fewer tasks a profile is no more than the table."""
REPEATED = ("methods", "trials", "candidates", "confirm_seeds", "curve", "curve_lr")
"""What studies of a task have in common beside that which their trials have."""
LARGEST = 50.0
"""Logarithm of what is as good as an infinite ratio: two studies bound very little."""


@dataclass(frozen=True)
class Several:
    """Experiments that are looked at together."""

    experiments: Sequence[Results]

    def check(self) -> None:
        """Raise `InvalidInput` if they have no method in common, or those of one task are not studies of it."""
        if not self.methods:
            names = ", ".join(e.plan.name for e in self.experiments)
            raise InvalidInput(f"{names} have no method in common: give sweeps that share some")
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
        """The methods that every experiment has."""
        first, *others = (experiment.plan.methods for experiment in self.experiments)
        return [method for method in first if all(method in other for other in others)]

    @cached_property
    def clock(self) -> str:
        """Wall-clock, unless one of the experiments cannot be compared on it."""
        clocks = {experiment.comparison.clock for experiment in self.experiments}
        return "wall" if clocks == {"wall"} else "gradient_evaluations"

    def pooled(self, method: str, clock: str) -> SpeedUp | None:
        """The geometric mean of a method's speed-up over the tasks; None if it is known for none of them.

        Where it is the best baseline itself its speed-up is 1. A task's studies are what its mean is drawn from, if
        there are several: they differ by all that seeds do, and by the luck of their searches. Bounds of both kinds
        together bound nothing.
        """
        if not any(clock in e.comparison.row(method).speed_ups for e in self.experiments):
            return None
        generator = np.random.default_rng(derive_seed("several", method, clock))
        values, draws, sides, draw_sides, counts, whole = [], [], [], [], [], True
        for studies in self.tasks.values():
            rows = [e.comparison.row(method) for e in studies]
            if not all(_is_known(e, row, clock) for e, row in zip(studies, rows, strict=True)):
                return None
            known = [row.speed_ups[clock] for row in rows if clock in row.speed_ups]
            whole &= all(found.whole for found in known)
            ratios = [
                row.speed_ups[clock].ratio if clock in row.speed_ups else Ratio(value=1.0) for row in rows
            ]
            logs = np.log([ratio.value for ratio in ratios])
            values.append(logs.mean())
            sides.append(_side(np.array([[ratio.censored for ratio in ratios]])))
            if len(studies) > 1:
                draws.append(paired_draws(logs[:, None], generator)[:, 0])
                draw_sides.append(np.repeat(sides[-1], RESAMPLES))
                counts.append(len(studies))
            elif known:
                own = rows[0].draws[clock]
                draws.append(np.log(own[:, 0]))
                draw_sides.append(own[:, 1])
                counts.append(known[0].seeds)
        return speed_up_from_draws(
            float(np.exp(np.mean(values))),
            int(_side(np.array(sides).T)[0]),
            np.exp(np.clip(np.sum(draws, axis=0) / len(self.tasks), -LARGEST, LARGEST)),
            _side(np.stack(draw_sides, axis=1)),
            seeds=min(counts),
            whole=whole,
        )

    def verdicts(self, clock: str) -> dict[str, str]:
        """The verdict on each method over all tasks, by Holm over the methods: whether it is faster.

        Slower is not judged: that each baseline is the best of several by chance, too, adds up over the sweeps.
        """
        found = {method: self.pooled(method, clock) for method in self.methods}
        comparable = all(experiment.comparison.is_comparable for experiment in self.experiments)
        known = {method: s for method, s in found.items() if s is not None}
        if not comparable:
            return dict.fromkeys(known, NOT_SHOWN)
        return verdicts(known, chosen_from=math.inf)

    def profile_ratios(self, clock: str) -> Mapping[str, np.ndarray]:
        """For each method the ratios (tasks,) of its time to the task's target and the fastest method's.

        A missed target is infinity. The target is the final loss of the best baseline (as AlgoPerf's, Dahl et al.
        2023); of several studies of a task the median counts. Empty below three tasks.
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
            f"{both} and have the same seed, {first.seed}: studies of a task repeat it with other seeds (`--seed`)"
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
            f"{both}, but differ in {', '.join(differing)}: they are no studies of one thing; report them apart"
        )


def _check_data(first: Plan, second: Plan) -> None:
    """Raise `InvalidInput` if two sweeps used different data under one name; what was not recorded may be the same."""
    one, other = first.data, second.data
    if one is None or other is None or one == other or one.split()[0] != other.split()[0]:
        return
    raise InvalidInput(
        f"{first.name} was run on the data {one!r}, {second.name} on {other!r}: they cannot be compared; report them "
        "apart"
    )


def _is_known(results: Results, row: Row, clock: str) -> bool:
    return clock in row.speed_ups or row.method == results.comparison.baseline


def _side(censored: np.ndarray) -> np.ndarray:
    """How the means (r,) of rows (r, k) of bounds and values are bounded."""
    below, above = (np.isin(censored, (side, UNKNOWN)).any(axis=1) for side in (BELOW, ABOVE))
    return np.where(below & above, UNKNOWN, np.where(below, BELOW, np.where(above, ABOVE, WITHIN)))


def _time(results: Results, method: str, clock: str) -> float:
    """Time of a method to the target, in multiples of the best baseline's."""
    if method == results.comparison.baseline:
        return 1.0
    found = results.comparison.row(method).time_to_target.get(clock)
    if found is None or found.ratio.censored == BELOW:
        return np.inf
    return 1 / found.ratio.value
