"""When a method is called faster: margin, seeds and the correction for several methods, all fixed beforehand."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ire.sweeps.findings.statistics.draws import LEVEL, interval
from ire.sweeps.findings.statistics.horizon import ABOVE, BELOW, UNKNOWN, WITHIN

MARGIN = 1.05
"""A method is called faster only if it is shown to be faster than this."""
MIN_SEEDS = 3
"""Fewer pairs than this never make a verdict: one or two know nothing of their spread."""
FASTER, SLOWER, NOT_SHOWN = "faster", "slower", "not shown"


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A speed-up, above 1 is faster; or a bound on one, if the curve it is read from ends there."""

    value: float
    censored: int = WITHIN

    def __str__(self) -> str:
        return f"{({ABOVE: '≥', BELOW: '≤', WITHIN: '', UNKNOWN: '?'})[self.censored]}{self.value:.2f}"


@dataclass(frozen=True, kw_only=True)
class SpeedUp:
    """A speed-up on one clock, its 95 % interval, and the evidence in it."""

    ratio: Ratio
    low: Ratio
    high: Ratio
    seeds: int
    """Pairs of runs behind it."""
    p_faster: float
    """Share of draws that are not above the margin: one-sided p value of "no faster than that"."""
    p_slower: float
    """Share of draws that are not below 1."""
    whole: bool = True
    """Whether every planned pair is among them; False if runs diverged or failed."""

    def __str__(self) -> str:
        return f"{self.ratio} [{self.low}, {self.high}]" if self.seeds > 1 else f"{self.ratio} (one seed)"


def speed_up_from_draws(
    value: float,
    censored: int,
    draws: np.ndarray,
    draws_censored: np.ndarray,
    *,
    seeds: int,
    whole: bool = True,
) -> SpeedUp:
    """Summarise draws (r,) of a ratio, each of which may be a bound.

    What is only bounded from above may be anything below, and the reverse: an end of the interval is a number if it is
    one even so, else a bound itself.
    """
    least = np.where(np.isin(draws_censored, (BELOW, UNKNOWN)), -np.inf, draws)
    most = np.where(np.isin(draws_censored, (ABOVE, UNKNOWN)), np.inf, draws)
    ends_at_least, ends_at_most = interval(least), interval(most)
    faster, slower = least > MARGIN, most < 1
    n = len(draws) + 1
    return SpeedUp(
        ratio=Ratio(value=value, censored=censored),
        low=_end(ends_at_least[0], ends_at_most[0], ends_at_least[0]),
        high=_end(ends_at_least[1], ends_at_most[1], ends_at_most[1]),
        seeds=seeds,
        p_faster=float(1 + (~faster).sum()) / n,
        p_slower=float(1 + (~slower).sum()) / n,
        whole=whole,
    )


def _end(at_least: float, at_most: float, wider: float) -> Ratio:
    """An end of an interval that lies within these two, the `wider` one if both are numbers."""
    if np.isfinite(at_least) and np.isfinite(at_most):
        return Ratio(value=wider)
    if np.isfinite(at_most):
        return Ratio(value=at_most, censored=BELOW)
    if np.isfinite(at_least):
        return Ratio(value=at_least, censored=ABOVE)
    return Ratio(value=1.0, censored=UNKNOWN)


def verdicts(found: Mapping[str, SpeedUp], chosen_from: float = 1) -> dict[str, str]:
    """The verdict on each method, corrected over all of them by Holm (1979), one-sided at 2.5 %.

    So at most 2.5 % of sweeps in which no method is faster than the margin call any of them faster. The best of several
    baselines was `chosen_from` them by the very runs that methods are compared with, so it looks better than it is.
    That makes *faster* harder to show, and *slower* too easy: its p values are multiplied by their number (Bonferroni).
    """
    told = dict.fromkeys(found, NOT_SHOWN)
    judged = {name: s for name, s in found.items() if s.seeds >= MIN_SEEDS and s.whole}
    for word, values in (
        (SLOWER, {name: s.p_slower * chosen_from for name, s in judged.items()}),
        (FASTER, {name: s.p_faster for name, s in judged.items()}),
    ):
        for name in holm(values, (1 - LEVEL) / 2):
            told[name] = word
    return told


def holm(p_values: Mapping[str, float], level: float) -> list[str]:
    """The names whose hypotheses Holm's step-down procedure rejects at the family-wise `level`."""
    rejected = []
    for position, name in enumerate(sorted(p_values, key=p_values.get)):
        if p_values[name] > level / (len(p_values) - position):
            break
        rejected.append(name)
    return rejected
