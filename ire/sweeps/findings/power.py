"""What a comparison could have shown: the smallest detectable speed-up, and the studies that a smaller one needs."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special  # pyright: ignore[reportMissingTypeStubs] - it has none

from ire.sweeps.findings.statistics.horizon import ABOVE, BELOW, UNKNOWN
from ire.sweeps.findings.statistics.verdict import MARGIN, TAIL
from ire.sweeps.plan.options import MIN_STUDIES

POWER = 0.8
"""Share of sweeps that find a detectable speed-up."""
SMALL = 1.2
"""A speed-up worth having; reports state how many studies would find it."""
MOST_STUDIES = 100
RANGE = 0.2
"""Smallest share of draws between two quantiles from which an error is read."""


@dataclass(frozen=True, kw_only=True)
class Power:
    """The detectable speed-ups on one clock."""

    least_detectable: float
    """The smallest true speed-up that is called faster in four of five such sweeps."""
    studies_for_small: int | None
    """Number of studies that would find `SMALL`; None if more than `MOST_STUDIES`."""


POWERLESS = Power(least_detectable=float("inf"), studies_for_small=None)
"""The power if no speed-up can be read."""


def power(draws: np.ndarray, *, studies: int, tail: float = TAIL) -> Power:
    """The power of a one-sided test at `tail`, from the draws (resamples, 2) of a speed-up over `studies`, with bounds.

    Draws of a mean over n studies are t variates with n - 1 degrees of freedom, scaled by the standard error. The error
    is read from their quartiles, or if these are bounds from the nearest quantiles that are none.
    """
    error = _error(draws, studies - 1) if studies > 1 else np.inf
    least = least_detectable(error, studies, tail)
    counts = range(MIN_STUDIES, MOST_STUDIES + 1)
    needed = next(
        (n for n in counts if least_detectable(error * np.sqrt(studies / n), n, tail) <= SMALL), None
    )
    return Power(least_detectable=least, studies_for_small=needed)


def _error(draws: np.ndarray, df: int) -> float:
    """The standard error of the logarithm of a speed-up; infinity if too few draws (resamples, 2) are values."""
    logs = np.log(np.maximum(draws[:, 0], 1e-9))
    least = np.where(np.isin(draws[:, 1], (BELOW, UNKNOWN)), -np.inf, logs)
    most = np.where(np.isin(draws[:, 1], (ABOVE, UNKNOWN)), np.inf, logs)
    # The first and last quantile that are values.
    first, last = (np.isneginf(least).sum() + 1) / len(draws), (np.isfinite(most).sum() - 1) / len(draws)
    if last - first < RANGE:
        return np.inf
    low = max(0.25, first) if last >= 0.25 + RANGE else max(first, last - RANGE)
    high = min(0.75, last) if first <= 0.75 - RANGE else min(last, first + RANGE)
    ends = np.quantile(most, high) - np.quantile(least, low)
    return float(ends / (special.stdtrit(df, high) - special.stdtrit(df, low)))


def least_detectable(error: float, studies: int, tail: float) -> float:
    """The smallest speed-up found with probability `POWER` if its logarithm has this standard error."""
    if studies < 2 or not np.isfinite(error):
        return float("inf")
    return float(MARGIN * np.exp(min(_shift(studies - 1, tail) * error, 50.0)))


@lru_cache(maxsize=4096)
def _shift(df: int, tail: float) -> float:
    """The shift in standard errors that a one-sided t test at `tail` with `df` degrees of freedom detects."""
    critical = special.stdtrit(df, 1 - tail)
    low, high = 0.0, 1e4
    for _ in range(60):  # the power rises with the shift
        middle = (low + high) / 2
        low, high = (low, middle) if special.nctdtr(df, middle, critical) <= 1 - POWER else (middle, high)
    return high
