"""Asynchronous successive halving (ASHA) for the trials of one method (Li et al. 2020), and nothing else.

A trial that reaches a rung (a step at which trials are compared) continues if its value is among the best 1/eta
of all values at that rung so far, including its own; the first trial always continues. A decision depends only on the
values so far, in their order.
"""

import bisect
import math
from collections.abc import Sequence


class Rungs:
    """The rungs of one method; `steps` are optimizer steps, and lower values are better."""

    def __init__(self, steps: Sequence[int], reduction_factor: int) -> None:
        self._arrived: dict[int, dict[str, float]] = {step: {} for step in steps}
        self._sorted: dict[int, list[float]] = {step: [] for step in steps}
        self._reduction_factor = reduction_factor

    def goes_on(self, trial: str, step: int, value: float) -> bool:
        """Record `value` of `trial` at `step` and decide; True at a step that is not a rung."""
        if step not in self._arrived:
            return True
        self._arrive(trial, step, value)
        values = self._sorted[step]
        return value <= values[max(1, len(values) // self._reduction_factor) - 1]

    def diverged(self, trial: str, step: int) -> None:
        """Count a trial that was found to have diverged at `step` as the worst of the next rung, or of this one."""
        following = [rung for rung in self._arrived if rung >= step]
        if following and trial not in self._arrived[min(following)]:
            self._arrive(trial, min(following), math.inf)

    def _arrive(self, trial: str, step: int, value: float) -> None:
        arrived, values = self._arrived[step], self._sorted[step]
        if trial in arrived:
            values.pop(bisect.bisect_left(values, arrived[trial]))
        arrived[trial] = value
        bisect.insort(values, value)
