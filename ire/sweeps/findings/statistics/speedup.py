"""The speed-up: how much longer a tuned baseline would have to run to reach the final loss of a method.

S = h*/T, where h* is the horizon at which the baseline, with its own complete schedule, ends at the loss at which the
method ends at T. Steps are converted to gradient evaluations by the cost of a step, and to wall-clock by its duration.
Above 1 is faster.

The interval is over independent units: studies, each with its own search, or seeds within one study, where the result
is about two configurations. All values of a unit are paired, so common effects of initialisation, data order and data
split cancel.
"""

from collections.abc import Mapping

import numpy as np

from ire.sweeps.findings.statistics.draws import paired_draws, unpaired_draws
from ire.sweeps.findings.statistics.horizon import ABOVE, BELOW, UNKNOWN, WITHIN, equal_horizon
from ire.sweeps.findings.statistics.verdict import SpeedUp, speed_up_from_draws

LARGEST = 500.0
"""Logarithms of costs are clipped here: those of two units may be drawn so far apart that their ratio overflows."""
CLOCKS = {"step": "steps", "gradient_evaluations": "gradient evaluations", "wall": "wall-clock"}


def speed_ups(
    losses: np.ndarray,
    factors: np.ndarray,
    costs: Mapping[str, np.ndarray],
    generator: np.random.Generator,
    *,
    whole: bool = True,
    paired: bool = True,
) -> tuple[dict[str, SpeedUp], dict[str, np.ndarray]]:
    """The speed-up of a method over a baseline by clock, and the draws (resamples, 2) behind each.

    `losses` (n, 2 + h), one row per unit: final loss of the method, of the baseline, and of the curve at the rising
    `factors` (h,) of the task's horizon, including 1. The curve is the baseline's own, or a substitute on which both
    are read. `costs` by clock: logarithms (n,) of the cost of a baseline step over one of the method, or
    (resamples + 1,) with the value first and then its draws; clocks without costs are not judged. `whole` is false if
    planned runs are missing, which excludes a verdict. Without `paired` the values of a unit are independent. A draw is
    a value and one of `BELOW`, `WITHIN`, `ABOVE`, `UNKNOWN`.
    """
    n, h = len(losses), len(factors)
    of_units = {clock: cost for clock, cost in costs.items() if len(cost) == n}
    columns = np.column_stack([losses, *of_units.values()]) if of_units else losses
    drawn_together = paired_draws if paired else unpaired_draws
    means = np.vstack([columns.mean(axis=0), drawn_together(columns, generator)])
    drawn = {
        clock: means[:, 2 + h + list(of_units).index(clock)] if clock in of_units else cost
        for clock, cost in costs.items()
    }
    return speed_ups_of_means(means[:, : 2 + h], factors, drawn, units=n, whole=whole)


def speed_ups_of_means(
    means: np.ndarray, factors: np.ndarray, costs: Mapping[str, np.ndarray], *, units: int, whole: bool
) -> tuple[dict[str, SpeedUp], dict[str, np.ndarray]]:
    """Speed-ups from `means` (1 + resamples, 2 + h) of the losses and `costs` (1 + resamples,), values first."""
    curve, at_1 = means[:, 2:], 2 + int(np.flatnonzero(factors == 1.0)[0])
    horizons, sides = equal_horizon(factors, curve, means[:, [at_1]] - means[:, :2])
    steps, side = horizons[:, 0] / horizons[:, 1], _side(sides[:, 0], sides[:, 1])
    found: dict[str, SpeedUp] = {}
    draws: dict[str, np.ndarray] = {}
    for clock, cost in costs.items():
        values = steps * np.exp(np.clip(cost, -LARGEST, LARGEST))
        draws[clock] = np.column_stack([values[1:], side[1:]])
        found[clock] = speed_up_from_draws(
            float(values[0]), int(side[0]), draws[clock][:, 0], draws[clock][:, 1], units=units, whole=whole
        )
    return found, draws


def _side(mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """The bounds of a ratio, from the bounds of its numerator and denominator."""
    above = np.isin(mine, (ABOVE, UNKNOWN)) | np.isin(theirs, (BELOW, UNKNOWN))
    below = np.isin(mine, (BELOW, UNKNOWN)) | np.isin(theirs, (ABOVE, UNKNOWN))
    return np.where(above & below, UNKNOWN, np.where(above, ABOVE, np.where(below, BELOW, WITHIN)))
