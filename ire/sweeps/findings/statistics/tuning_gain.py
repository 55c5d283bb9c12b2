"""What tuning bought each method: the best to be expected of n trials, and the best so far as it happened.

Everything here is in costs (`ire.trial.metric`): losses, or the negative of what is better the higher it is.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import gammaln

from ire.sweeps.findings.statistics.draws import interval, paired_draws
from ire.sweeps.records.records import FINISHED, PRUNED, TrialRecord
from ire.trial.metric import LOSS, Metric

RESAMPLES = 1000


def trial_costs(trials: Sequence[TrialRecord], metric: Metric = LOSS) -> np.ndarray:
    """The cost each ended search trial stands for, in the order of their numbers.

    A finished one's last; of a pruned one the last it reported, more than it would have ended with; of one that
    diverged or failed the worst of the others. Empty if none finished.
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
    """How many trials of one search had started when it came within `share` of the best value it would find.

    None if no trial finished. How easily a method is tuned: few are needed where most settings do.
    """
    costs = {t.number: metric.cost(t.final(metric.name)) for t in trials if t.status == FINISHED}
    if not costs:
        return None
    best = min(costs.values())
    return 1 + min(number for number, cost in costs.items() if cost <= best + share * abs(best))


def effort(needed: Sequence[int], generator: np.random.Generator) -> tuple[float, float, float]:
    """Geometric mean over searches of the trials that each `needed`, and its 95 % interval over them."""
    logs = np.log(np.array(needed, dtype=float))
    low, high = interval(paired_draws(logs[:, None], generator)[:, 0])
    return float(np.exp(logs.mean())), float(np.exp(low)), float(np.exp(high))


def counts(trials: int) -> np.ndarray:
    """The numbers n of trials at which an expected best is given: all up to 64, then ever sparser."""
    if trials <= 64:
        return np.arange(1, trials + 1)
    return np.unique(np.round(np.geomspace(1, trials, 64)).astype(int))


def expected_best(losses: np.ndarray) -> np.ndarray:
    """The expected least of n of `losses` (..., k), for n of `counts(k)`.

    Drawn without replacement (Tang et al. 2020), which is unbiased where drawing with it (Dodge et al. 2019) is not.
    Trials count as exchangeable, which those that a sampler suggests late are not quite.
    """
    k = losses.shape[-1]
    ordered = np.sort(losses, axis=-1)
    n = counts(k)[:, None]
    rank = np.arange(k)[None, :]
    others = np.maximum(k - rank - n, 0)  # the least is of this rank if the n - 1 others are of later ones
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
    """Gradient evaluations spent when each finished trial ended, in the order of numbers, and the best cost by then."""
    spent, best, at, values = 0, np.inf, [], []
    for trial in sorted(trials, key=lambda t: t.number):
        spent += trial.gradient_evaluations
        if trial.status == FINISHED:
            best = min(best, metric.cost(trial.final(metric.name)))
            at.append(spent)
            values.append(best)
    return at, values
