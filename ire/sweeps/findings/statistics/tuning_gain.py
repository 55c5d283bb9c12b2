"""The gain of tuning for each method: the expected best of n trials, and the actual best so far.

All values are costs (`ire.trial.metric`): losses, or the negative of metrics of which higher is better.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import gammaln  # pyright: ignore[reportMissingTypeStubs] - it has none

from ire.sweeps.findings.statistics.draws import interval, paired_draws
from ire.sweeps.records.records import FINISHED, PRUNED, TrialRecord
from ire.trial.metric import LOSS, Metric

RESAMPLES = 1000


def trial_costs(trials: Sequence[TrialRecord], metric: Metric = LOSS) -> np.ndarray:
    """The cost of each ended search trial, in order of their numbers.

    It is the last reported cost of a finished or pruned trial, although a pruned trial would have ended lower, and the
    worst cost of the others for a trial that diverged or failed. Empty if none finished.
    """
    ended = sorted((t for t in trials if t.status != "running"), key=lambda t: t.number)
    if not any(t.status == FINISHED for t in ended):
        return np.array([])
    costs = np.array(
        [metric.cost(t.final(metric.name)) if t.status in (FINISHED, PRUNED) else np.nan for t in ended],
        dtype=float,
    )
    return np.where(np.isnan(costs), np.nanmax(costs), costs)


def trials_to_within(trials: Sequence[TrialRecord], metric: Metric = LOSS, share: float = 0.01) -> int | None:
    """How many trials of one search had started when it came within `share` of its final best value.

    None if no trial finished. It measures how easily a method is tuned: few trials suffice if most settings are good.
    """
    costs = {t.number: metric.cost(t.final(metric.name)) for t in trials if t.status == FINISHED}
    if not costs:
        return None
    best = min(costs.values())
    return 1 + min(number for number, cost in costs.items() if cost <= best + share * abs(best))


def effort(needed: Sequence[int], generator: np.random.Generator) -> tuple[float, float, float]:
    """Geometric mean over searches of the number of trials `needed`, and its 95 % interval."""
    logs = np.log(np.array(needed, dtype=float))
    low, high = interval(paired_draws(logs[:, None], generator)[:, 0])
    return float(np.exp(logs.mean())), float(np.exp(low)), float(np.exp(high))


def counts(trials: int) -> np.ndarray:
    """The numbers n of trials for which an expected best is given: all up to 64, sparser above."""
    if trials <= 64:
        return np.arange(1, trials + 1)
    return np.unique(np.round(np.geomspace(1, trials, 64)).astype(int))


def expected_best(losses: np.ndarray) -> np.ndarray:
    """The expected minimum of n of the `losses` (..., k), for each n in `counts(k)`.

    Drawn without replacement (Tang et al. 2020), which is unbiased, unlike drawing with replacement (Dodge et al.
    2019). Trials count as exchangeable, which is not quite true for those that a sampler suggests late.
    """
    k: int = losses.shape[-1]
    ordered = np.sort(losses, axis=-1)
    n = counts(k)[:, None]
    rank = np.arange(k)[None, :]
    others = np.maximum(k - rank - n, 0)  # the minimum has this rank if the n - 1 others have later ranks
    ways = gammaln(k - rank) - gammaln(n) - gammaln(others + 1)
    weights = np.exp(ways - (gammaln(k + 1) - gammaln(n + 1) - gammaln(k - n + 1)))
    return ordered @ np.where(rank <= k - n, weights, 0.0).T


def expected_best_interval(losses: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The 95 % interval (2, len(counts)) of `expected_best`, by resampling the trials."""
    k = len(losses)
    drawn = np.concatenate(
        [expected_best(losses[generator.integers(k, size=(RESAMPLES // 10, k))]) for _ in range(10)]
    )
    return np.array([interval(column) for column in drawn.T]).T


def best_so_far(trials: Sequence[TrialRecord], metric: Metric = LOSS) -> tuple[list[int], list[float]]:
    """Gradient evaluations spent up to each finished trial, in order of numbers, and the best cost so far."""
    spent, best = 0, np.inf
    at: list[int] = []
    values: list[float] = []
    for trial in sorted(trials, key=lambda t: t.number):
        spent += trial.gradient_evaluations
        if trial.status == FINISHED:
            best = min(best, metric.cost(trial.final(metric.name)))
            at.append(spent)
            values.append(best)
    return at, values
