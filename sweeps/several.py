"""Several sweeps together: each method's speed-up on every task, their geometric mean, and performance profiles.

Folders of one task are studies of it: whole searches that were repeated. Intervals resample the studies of a task,
then the seeds within each; tasks are what they are and not resampled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sweeps.comparison import Row
from sweeps.experiment import Experiment
from sweeps.statistics.horizon import ABOVE, BELOW, WITHIN
from sweeps.statistics.verdict import NOT_SHOWN, SpeedUp, speed_up_from_draws, verdicts
from trainables.seeds import derive_seed

MIN_PROFILE_TASKS = 3
"""With fewer tasks a profile is no more than the table."""


@dataclass(frozen=True)
class Several:
    """Experiments that are looked at together."""

    experiments: Sequence[Experiment]

    @cached_property
    def tasks(self) -> dict[str, list[Experiment]]:
        """The studies of each task."""
        found: dict[str, list[Experiment]] = {}
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

        Where it is the best baseline itself its speed-up is 1.
        """
        if not any(clock in e.comparison.row(method).speed_ups for e in self.experiments):
            return None
        draws = np.random.default_rng(derive_seed("several", method, clock))
        values, censored, points, point_bounds, seeds, whole = [], [], [], [], [], True
        for studies in self.tasks.values():
            rows = [e.comparison.row(method) for e in studies]
            known = [row for e, row in zip(studies, rows, strict=True) if _is_known(e, row, clock)]
            if len(known) < len(rows):
                return None
            count = max(len(row.draws[clock]) for row in self._judged(method) if clock in row.draws)
            drawn = np.stack([_draws(row, clock, count) for row in known])  # (studies, count, 2)
            picked = draws.integers(len(known), size=(len(known), count))
            drawn = drawn[picked, np.arange(count)]
            values.append(np.log(drawn[..., 0]).mean(axis=0))
            censored.append(drawn[..., 1].sum(axis=0))
            for row in known:
                ratio = row.speed_ups[clock].ratio if clock in row.speed_ups else None
                points.append((np.log(ratio.value) if ratio else 0.0) / len(known))
                point_bounds.append(ratio.censored if ratio else WITHIN)
                if clock in row.speed_ups:
                    seeds.append(row.speed_ups[clock].seeds)
                    whole &= row.speed_ups[clock].whole
        return speed_up_from_draws(
            float(np.exp(np.sum(points) / len(self.tasks))),
            _side(sum(point_bounds)),
            np.exp(np.mean(values, axis=0)),
            np.sign(np.sum(censored, axis=0)).astype(int),
            seeds=min(seeds),
            whole=whole,
        )

    def _judged(self, method: str) -> list[Row]:
        return [experiment.comparison.row(method) for experiment in self.experiments]

    def verdicts(self, clock: str) -> dict[str, str]:
        """The verdict on each method over all tasks, by Holm over the methods."""
        found = {method: self.pooled(method, clock) for method in self.methods}
        comparable = all(experiment.comparison.is_comparable for experiment in self.experiments)
        known = {method: s for method, s in found.items() if s is not None}
        return verdicts(known) if comparable else dict.fromkeys(known, NOT_SHOWN)

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


def _is_known(experiment: Experiment, row: Row, clock: str) -> bool:
    return clock in row.speed_ups or row.method == experiment.comparison.baseline


def _draws(row: Row, clock: str, count: int) -> np.ndarray:
    if clock in row.draws:
        return row.draws[clock]
    return np.tile([1.0, WITHIN], (count, 1))  # the best baseline itself


def _side(total: int) -> int:
    return ABOVE if total > 0 else BELOW if total < 0 else WITHIN


def _time(experiment: Experiment, method: str, clock: str) -> float:
    """Time of a method to the target, in multiples of the best baseline's."""
    if method == experiment.comparison.baseline:
        return 1.0
    found = experiment.comparison.row(method).time_to_target.get(clock)
    if found is None or found.ratio.censored == BELOW:
        return np.inf
    return 1 / found.ratio.value
