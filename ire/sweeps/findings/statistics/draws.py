"""The uncertainty of means over a few seeds: joint draws of several means, paired by seed.

A plain bootstrap of five runs is overconfident: it underestimates the variance and ignores Student's t. Here each draw
weights the deviations of the seeds by normal variates, equal for every quantity of a seed, and is scaled like a t
variate. So every linear function of the means has exactly the interval of a paired t test if the seeds are normal, and
a non-linear function, such as a speed-up, inherits it (Wu 1986; Hesterberg 2015 on small samples).
"""

import numpy as np

RESAMPLES = 20_000
"""Enough draws for the smallest levels of a verdict, about 0.2 %."""
LEVEL = 0.95
FEW = 5
"""With fewer runs a bootstrap underestimates the error of a median: that of three runs never leaves their range."""


def paired_draws(
    values: np.ndarray, generator: np.random.Generator, resamples: int = RESAMPLES
) -> np.ndarray:
    """Draws (resamples, m) of the m means of `values` (n, m): each row is a seed, and its columns are paired.

    With one seed every draw equals that seed's values.
    """
    n = len(values)
    mean = values.mean(axis=0)
    if n == 1:
        return np.repeat(mean[None], resamples, axis=0)
    normal = generator.standard_normal((resamples, n))
    scale = np.sqrt((n - 1) / generator.chisquare(n - 1, resamples))
    return mean + scale[:, None] * (normal @ (values - mean)) / np.sqrt(n * (n - 1))


def unpaired_draws(
    values: np.ndarray, generator: np.random.Generator, resamples: int = RESAMPLES
) -> np.ndarray:
    """Draws (resamples, m) of the means of `values` (n, m) whose columns are independent; equal columns share draws.

    The difference of two means has the Behrens-Fisher interval, for any variances.
    """
    drawn: dict[bytes, np.ndarray] = {}
    for column in values.T:
        if column.tobytes() not in drawn:
            drawn[column.tobytes()] = paired_draws(column[:, None], generator, resamples)
    return np.concatenate([drawn[column.tobytes()] for column in values.T], axis=1)


def median_draws(
    values: np.ndarray, generator: np.random.Generator, resamples: int = RESAMPLES
) -> np.ndarray:
    """Draws (resamples,) of the median of `values` (n,), by resampling; for times, which may have outliers.

    With fewer than `FEW` values the deviations are those of a mean, a t variate, times √(π/2): the largest ratio of the
    errors of median and mean for normal values.
    """
    if len(values) < FEW:
        means = paired_draws(values[:, None], generator, resamples)[:, 0]
        return np.median(values) + np.sqrt(np.pi / 2) * (means - values.mean())
    picked = generator.integers(len(values), size=(resamples, len(values)))
    return np.median(values[picked], axis=1)


def median_ratios(
    one: np.ndarray, other: np.ndarray, generator: np.random.Generator, resamples: int = RESAMPLES
) -> np.ndarray:
    """Ratios (1 + resamples,) of the medians of two sets of times: the observed one, then draws of its logarithm."""
    logs = [
        np.append(np.median(side), median_draws(side, generator, resamples))
        for side in map(np.log, (one, other))
    ]
    with np.errstate(over="ignore"):  # with three times a draw may overflow
        return np.exp(logs[0] - logs[1])


def median_log_ratios(one: np.ndarray, other: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The logarithms of `median_ratios`; minus infinity for a draw that is too small for a float."""
    with np.errstate(divide="ignore"):
        return np.log(median_ratios(one, other, generator))


def interval(
    draws: np.ndarray, tails: tuple[float, float] = ((1 - LEVEL) / 2, (1 - LEVEL) / 2)
) -> tuple[float, float]:
    """The middle of `draws` (resamples,) without the probabilities `tails` below and above; by default 95 %.

    The lower end is above a value exactly if the p value (1 + number of draws not above it) / (1 + resamples) is at
    most its tail, and likewise the upper end (Davison and Hinkley 1997). So intervals and tests never disagree.
    """
    n = len(draws)
    below, above = (min(max(int(tail * (n + 1)), 1), n) - 1 for tail in tails)
    ends = np.partition(draws, (below, n - 1 - above))
    return float(ends[below]), float(ends[n - 1 - above])
