"""How soon a method reaches the final loss or metric of the baseline: the ratio that the literature quotes.

It reads curves in mid-schedule and is therefore biased: the method must reach the target before its learning rate has
decayed, the baseline after. Reports show it beside the speed-up (`speedup.py`), and no verdict uses it.
"""

import math
from collections.abc import Sequence

import numpy as np

from ire.sweeps.findings.statistics.draws import RESAMPLES, median_ratios, paired_draws
from ire.sweeps.findings.statistics.horizon import BELOW, UNKNOWN, WITHIN
from ire.sweeps.findings.statistics.verdict import Ratio, SpeedUp, speed_up_from_draws
from ire.trial.metric import LOSS, Metric
from ire.trial.report import Curve


def times_to_target(times: np.ndarray, losses: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The times at which curves first reach their targets, linear between evaluations; infinity if never.

    `times` (k,) are in order, `losses` (r, k), `targets` (r,). A target met at the first evaluation gives its time.
    """
    below = losses <= targets[:, None]
    first = below.argmax(axis=1)
    rows = np.arange(len(losses))
    before = np.maximum(first - 1, 0)
    high, low = losses[rows, before], losses[rows, first]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(first == 0, 0.0, (high - targets) / (high - low))
    found = times[before] + share * (times[first] - times[before])
    return np.where(below.any(axis=1), found, math.inf)


def best_run_ratio(baseline: Curve, method: Curve, clock: str, metric: Metric = LOSS) -> Ratio:
    """Time of `baseline` to its final value over that of `method` to it: one run each, without an interval."""
    (ratio, censored), *_ = _ratios([baseline], [method], clock, metric, None)
    return Ratio(value=float(ratio), censored=int(censored))


def time_to_target_ratio(
    baseline: Sequence[Curve],
    method: Sequence[Curve],
    clock: str,
    generator: np.random.Generator,
    metric: Metric = LOSS,
    *,
    paired: bool = True,
) -> SpeedUp:
    """The ratio for mean curves over seeds, with an interval; the i-th curves of both are paired if `paired`."""
    (ratio, censored), *draws = _ratios(baseline, method, clock, metric, generator, paired=paired)
    drawn = np.array(draws)
    return speed_up_from_draws(
        float(ratio), int(censored), drawn[:, 0], drawn[:, 1].astype(int), units=len(baseline)
    )


def _ratios(
    baseline: Sequence[Curve],
    method: Sequence[Curve],
    clock: str,
    metric: Metric,
    generator: np.random.Generator | None,
    *,
    paired: bool = True,
) -> np.ndarray:
    """Rows of ratio and censoring: those of the means first, then those of the draws."""
    key = "step" if clock == "wall" else clock
    points = min(len(curve) for curve in (*baseline, *method))
    stacked = [
        np.array([[metric.cost(r[metric.name]) for r in curve[-points:]] for curve in side])
        for side in (baseline, method)
    ]
    times = [np.array([r[key] for r in side[0][-points:]], dtype=float) for side in (baseline, method)]
    if not all(side[-1] > 0 for side in times):  # a side without counts on this clock
        return np.tile([1.0, UNKNOWN], (1 + RESAMPLES, 1))
    both = np.hstack(stacked)
    means = both.mean(axis=0)[None]
    if generator is not None:
        sides = [both] if paired else stacked
        means = np.vstack([means, np.hstack([paired_draws(side, generator) for side in sides])])
    base, mine = means[:, :points], means[:, points:]
    targets = base[:, -1]
    needed = times_to_target(times[0], base, targets)
    reached = times_to_target(times[1], mine, targets)
    misses = ~np.isfinite(reached)
    scale = 1.0
    if clock == "wall":
        times_a_step = _step_seconds(baseline), _step_seconds(method)
        draws = generator or np.random.default_rng(0)  # without a generator nothing is drawn
        scale = median_ratios(*times_a_step, draws, resamples=len(means) - 1)
    with np.errstate(over="ignore"):  # a draw of times that vary widely is huge
        ratios = scale * needed / np.where(misses, times[1][-1], reached)
    return np.stack([ratios, np.where(misses, BELOW, WITHIN)], axis=1)


def _step_seconds(curves: Sequence[Curve]) -> np.ndarray:
    return np.array([curve[-1]["seconds"] / curve[-1]["step"] for curve in curves])
