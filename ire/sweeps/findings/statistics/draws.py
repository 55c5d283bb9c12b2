"""How far a mean over a few seeds may be off: joint draws of several means, paired by seed.

A plain bootstrap of five runs is too sure of itself: it draws too small a variance and knows nothing of Student's t.
Here each draw weights the deviations of the seeds by normal variates, the same for every quantity of a seed, and
is scaled like a t variate. So every linear function of the means has exactly the interval of a paired t test if the
seeds are normal, and a non-linear one, such as a speed-up, inherits it (Wu 1986; Hesterberg 2015 on small samples).
"""

import numpy as np

RESAMPLES = 20_000
"""Enough for the smallest levels at which a verdict is decided, some 0.2 %."""
LEVEL = 0.95
FEW = 5
"""Of fewer runs a bootstrap does not know how far off their median may be: that of three never leaves their range."""


def paired_draws(
    values: np.ndarray, generator: np.random.Generator, resamples: int = RESAMPLES
) -> np.ndarray:
    """Draws (resamples, m) of the m means of `values` (n, m): a row is a seed, its columns belong together.

    With one seed every draw is that seed.
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
    """The same of columns that do not belong together: each mean is drawn by itself, equal columns being one.

    The difference of two has the interval of Behrens and Fisher, whatever their variances.
    """
    drawn: dict[bytes, np.ndarray] = {}
    for column in values.T:
        if column.tobytes() not in drawn:
            drawn[column.tobytes()] = paired_draws(column[:, None], generator, resamples)
    return np.concatenate([drawn[column.tobytes()] for column in values.T], axis=1)


def median_draws(
    values: np.ndarray, generator: np.random.Generator, resamples: int = RESAMPLES
) -> np.ndarray:
    """Draws (resamples,) of the median of `values` (n,), by resampling: for times, where one run may be far out.

    Of `FEW` the deviations are a t variate's, as of a mean, but √(π/2) times as wide: the most that a median of normal
    values is off by more.
    """
    if len(values) < FEW:
        means = paired_draws(values[:, None], generator, resamples)[:, 0]
        return np.median(values) + np.sqrt(np.pi / 2) * (means - values.mean())
    picked = generator.integers(len(values), size=(resamples, len(values)))
    return np.median(values[picked], axis=1)


def median_ratios(
    one: np.ndarray, other: np.ndarray, generator: np.random.Generator, resamples: int = RESAMPLES
) -> np.ndarray:
    """Ratios (1 + resamples,) of the medians of two sets of times: as they are first, then the draws, of logarithms."""
    logs = [
        np.append(np.median(side), median_draws(side, generator, resamples))
        for side in map(np.log, (one, other))
    ]
    with np.errstate(over="ignore"):  # of three times a draw may be as good as infinite
        return np.exp(logs[0] - logs[1])


def interval(
    draws: np.ndarray, tails: tuple[float, float] = ((1 - LEVEL) / 2, (1 - LEVEL) / 2)
) -> tuple[float, float]:
    """The middle of `draws` (resamples,), with the probabilities `tails` left out below and above: the central 95 %.

    The lower end is above a value exactly when the p value (1 + draws that are not above it) / (1 + resamples) is at
    most its tail, and the upper end likewise (Davison and Hinkley 1997): intervals and tests never disagree.
    """
    n = len(draws)
    below, above = (min(max(int(tail * (n + 1)), 1), n) - 1 for tail in tails)
    ends = np.partition(draws, (below, n - 1 - above))
    return float(ends[below]), float(ends[n - 1 - above])
