"""How much longer the best tuned baseline would have to run to end as low as a method does.

S = h*/T, where h* is the horizon at which the baseline, with a complete schedule of its own, ends at the loss at which
the method ends at T. Steps convert into gradient evaluations by what a step costs, and into wall-clock by how long it
takes. Runs of a seed have the same initialisation and data order, and the interval is over these pairs. Above 1
is faster.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ire.sweeps.findings.statistics.draws import median_ratios, paired_draws
from ire.sweeps.findings.statistics.horizon import equal_horizon
from ire.sweeps.findings.statistics.verdict import SpeedUp, speed_up_from_draws

CLOCKS = {"step": "steps", "gradient_evaluations": "gradient evaluations", "wall": "wall-clock"}


@dataclass(frozen=True, kw_only=True)
class Ends:
    """How the runs of one method at one horizon ended, by seed."""

    losses: Mapping[int, float]
    """Final loss of each run, by the number of its seed."""
    step_seconds: Mapping[int, float]
    """Training seconds per optimizer step of each run."""
    gradients_per_step: float
    """Gradient evaluations per optimizer step."""


def speed_ups(
    curve: Mapping[float, Ends],
    method: Ends,
    generator: np.random.Generator,
    *,
    planned: int = 0,
) -> tuple[dict[str, SpeedUp], dict[str, np.ndarray]]:
    """The speed-up of `method` by clock, and the draws (resamples, 2) of each, values and how they are censored.

    `curve` has the baseline's ends by horizon, in multiples of the task's; 1 must be among them. Only seeds count that
    the method and every point have; fewer than `planned` are not the whole, and make no verdict. Empty without such
    a seed, or without another point.
    """
    factors = sorted(curve)
    seeds = sorted(set(method.losses).intersection(*(ends.losses for ends in curve.values())))
    if len(factors) < 2 or not seeds:
        return {}, {}
    whole = len(seeds) >= planned
    values = _column(method.losses, seeds)[:, None]
    values = np.hstack([values, *(_column(curve[factor].losses, seeds)[:, None] for factor in factors)])
    means = np.vstack([values.mean(axis=0), paired_draws(values, generator)])
    at_1 = 1 + factors.index(1.0)
    horizons, censored = equal_horizon(np.array(factors), means[:, 1:], means[:, at_1] - means[:, 0])
    base_times, times = (
        _column(ends.step_seconds, sorted(ends.step_seconds)) for ends in (curve[1.0], method)
    )
    scales = {
        "step": 1.0,
        "gradient_evaluations": curve[1.0].gradients_per_step / method.gradients_per_step,
        "wall": median_ratios(base_times, times, generator),
    }
    found, draws = {}, {}
    for clock, scale in scales.items():
        scaled = horizons * scale
        draws[clock] = np.stack([scaled[1:], censored[1:]], axis=1)
        found[clock] = speed_up_from_draws(
            float(scaled[0]), int(censored[0]), scaled[1:], censored[1:], seeds=len(seeds), whole=whole
        )
    return found, draws


def _column(values: Mapping[int, float], seeds: Sequence[int]) -> np.ndarray:
    return np.array([values[seed] for seed in seeds], dtype=float)
