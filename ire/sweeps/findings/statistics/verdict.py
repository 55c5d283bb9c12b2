"""When a method is called faster: margin, studies and corrections, all fixed in advance.

*Faster* on a clock means faster than every tuned baseline on it by more than the margin. All must be shown, so their
number needs no correction (intersection-union test, Berger 1982). *Slower* means that some baseline is faster; its p
value is multiplied by their number. Both are corrected over the methods of a sweep by Holm (1979).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from ire.sweeps.findings.statistics.draws import LEVEL, RESAMPLES, interval
from ire.sweeps.findings.statistics.horizon import ABOVE, BELOW, UNKNOWN, WITHIN
from ire.sweeps.plan.plan import MARGIN

MIN_SEEDS = 3
"""Minimum number of pairs for a comparison of two configurations: fewer do not show their spread."""
TAIL = (1 - LEVEL) / 2
FASTER, SLOWER, NOT_SHOWN, NOT_FINISHED = "faster", "slower", "not shown", "not finished"


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A speed-up, above 1 is faster; or a bound on one, if the curve from which it is read ends there."""

    value: float
    censored: int = WITHIN

    def __str__(self) -> str:
        return f"{({ABOVE: '≥', BELOW: '≤', WITHIN: '', UNKNOWN: '?'})[self.censored]}{self.value:.2f}"


@dataclass(frozen=True, kw_only=True)
class SpeedUp:
    """A speed-up on one clock, its interval, and the evidence in it."""

    ratio: Ratio
    low: Ratio
    high: Ratio
    units: int
    """Number of studies, or of pairs of runs within one study."""
    p_faster: float
    """Share of draws not above the margin: the one-sided p value of "not faster than the margin"."""
    p_slower: float
    """Share of draws not below 1: the one-sided p value of "not slower"."""
    whole: bool = True
    """Whether all planned runs are included; False if runs diverged, failed or have not ended."""

    def __str__(self) -> str:
        return f"{self.ratio} [{self.low}, {self.high}]" if self.units > 1 else f"{self.ratio} (one run)"


def speed_up_from_draws(
    value: float,
    censored: int,
    draws: np.ndarray,
    draws_censored: np.ndarray,
    *,
    units: int,
    whole: bool = True,
    tails: tuple[float, float] = (TAIL, TAIL),
) -> SpeedUp:
    """Summarize draws (r,) of a ratio, each of which may be a bound; `tails` are the probabilities left out.

    A draw bounded from above may have any lower value, and vice versa. An end of the interval is a number if it is the
    same for all these values, else a bound.
    """
    least = np.where(np.isin(draws_censored, (BELOW, UNKNOWN)), -np.inf, draws)
    most = np.where(np.isin(draws_censored, (ABOVE, UNKNOWN)), np.inf, draws)
    ends_at_least, ends_at_most = interval(least, tails), interval(most, tails)
    faster, slower = least > MARGIN, most < 1
    n = len(draws) + 1
    return SpeedUp(
        ratio=Ratio(value=value, censored=censored),
        low=_end(ends_at_least[0], ends_at_most[0], ends_at_least[0]),
        high=_end(ends_at_least[1], ends_at_most[1], ends_at_most[1]),
        units=units,
        p_faster=float(1 + (~faster).sum()) / n,
        p_slower=float(1 + (~slower).sum()) / n,
        whole=whole,
    )


def with_tails(speed_up: SpeedUp, draws: np.ndarray, tails: tuple[float, float]) -> SpeedUp:
    """The speed-up with an interval that leaves out `tails`, from its draws (r, 2) of ratio and bound."""
    return speed_up_from_draws(
        speed_up.ratio.value,
        speed_up.ratio.censored,
        draws[:, 0],
        draws[:, 1],
        units=speed_up.units,
        whole=speed_up.whole,
        tails=tails,
    )


def unknown_speed_up(units: int) -> tuple[SpeedUp, np.ndarray]:
    """A speed-up that cannot be read, and its draws, which bound nothing."""
    draws = np.column_stack([np.ones(RESAMPLES), np.full(RESAMPLES, UNKNOWN)])
    return (
        speed_up_from_draws(1.0, UNKNOWN, draws[:, 0], draws[:, 1], units=units, whole=False),
        draws,
    )


def hardest(over: Mapping[str, SpeedUp]) -> str:
    """The baseline that is hardest to beat: the one with the smallest speed-up over it."""
    return min(over, key=lambda name: over[name].ratio.value)


def _end(at_least: float, at_most: float, wider: float) -> Ratio:
    """An end of an interval that lies between two bounds: the `wider` one if both are finite."""
    if np.isfinite(at_least) and np.isfinite(at_most):
        return Ratio(value=wider)
    if np.isfinite(at_most):
        return Ratio(value=at_most, censored=BELOW)
    if np.isfinite(at_least):
        return Ratio(value=at_least, censored=ABOVE)
    return Ratio(value=1.0, censored=UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The judgement on one method on one clock."""

    verdict: str
    against: str
    """The decisive baseline: the one that is hardest to beat by p value, or for a slower method the one that beats it
    most clearly."""
    tails: tuple[float, float]
    """Levels at which its interval agrees with the verdict: the lower for *faster*, the upper for *slower*."""


def judge(found: Mapping[str, Mapping[str, SpeedUp]], looks: int = 1) -> dict[str, Judgement]:
    """The judgement on each method from its speed-ups over every baseline, by method and baseline.

    If no method is faster than the margin, at most 2.5 % of sweeps call any method faster, and likewise for slower. A
    method is not judged if none of its speed-ups is `whole`, since it lost runs. A baseline that lost runs must be
    beaten in its remaining runs, which favour it, but it makes no method slower. A sweep that is judged at several
    `looks` until it is decided spends a part of the levels at each (Bonferroni), so the levels hold overall.
    """
    whole = {method: {b: s for b, s in over.items() if s.whole} for method, over in found.items()}
    whole = {method: over for method, over in whole.items() if over}
    p_faster = {method: max(s.p_faster for s in found[method].values()) for method in whole}
    p_slower = {method: len(over) * min(s.p_slower for s in over.values()) for method, over in whole.items()}
    faster, low = holm(p_faster, TAIL / looks)
    slower, high = holm(p_slower, TAIL / looks)
    judged: dict[str, Judgement] = {}
    for method, over in whole.items():
        verdict = FASTER if method in faster else SLOWER if method in slower else NOT_SHOWN
        if verdict == SLOWER:
            against = min(over, key=lambda name: (over[name].p_slower, over[name].ratio.value))
        else:
            over = found[method]
            against = max(over, key=lambda name: (over[name].p_faster, -over[name].ratio.value))
        judged[method] = Judgement(
            verdict=verdict, against=against, tails=(low[method], high[method] / len(whole[method]))
        )
    return judged


def rivals(judgement: Judgement, over: Collection[str]) -> list[str]:
    """The baselines among `over` on which a judgement rests: all of them for *faster*, else the decisive one."""
    return list(over) if judgement.verdict == FASTER else [judgement.against]


def holm(p_values: Mapping[str, float], level: float) -> tuple[set[str], dict[str, float]]:
    """The names whose hypotheses Holm's step-down procedure rejects, and the level at which it tested each.

    A name that is not rejected has the level at which the procedure stopped: its p value, or an earlier one, is above
    that level, so intervals at these levels agree with the rejections. Equal p values have equal levels, so the order
    of the names does not matter.
    """
    rejected: set[str] = set()
    levels: dict[str, float] = {}
    ordered = sorted(p_values, key=lambda name: p_values[name])
    for position, name in enumerate(ordered):
        smaller = sum(p_values[other] < p_values[name] for other in ordered)
        levels[name] = level / (len(ordered) - smaller)
        if p_values[name] > levels[name]:
            return rejected, levels | dict.fromkeys(ordered[position:], levels[name])
        rejected.add(name)
    return rejected, levels
