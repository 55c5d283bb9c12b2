"""When a method is called faster: margin, studies and the corrections, all fixed beforehand.

*Faster* on a clock: faster than every tuned baseline on it by more than the margin. Every one must be shown, so no
correction is due for their number (intersection-union test, Berger 1982). *Slower*: some baseline is faster; its p
value is multiplied by their number. Over the methods of a sweep both are corrected by Holm (1979).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from ire.sweeps.findings.statistics.draws import LEVEL, RESAMPLES, interval
from ire.sweeps.findings.statistics.horizon import ABOVE, BELOW, UNKNOWN, WITHIN
from ire.sweeps.plan.plan import MARGIN

MIN_SEEDS = 3
"""Fewer pairs than this show nothing of two configurations: one or two do not know their spread."""
TAIL = (1 - LEVEL) / 2
FASTER, SLOWER, NOT_SHOWN, NOT_FINISHED = "faster", "slower", "not shown", "not finished"


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A speed-up, above 1 is faster; or a bound on one, if the curve it is read from ends there."""

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
    """Studies behind it, or pairs of runs within one study."""
    p_faster: float
    """Share of draws that are not above the margin: one-sided p value of "no faster than that"."""
    p_slower: float
    """Share of draws that are not below 1."""
    whole: bool = True
    """Whether every planned run is among them; False if runs diverged, failed or are still to come."""

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
    """Summarise draws (r,) of a ratio, each of which may be a bound; `tails` are the probabilities left out.

    What is only bounded from above may be anything below, and the reverse: an end of the interval is a number if it is
    one even so, else a bound itself.
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
    """The same speed-up, with an interval that leaves out `tails`: from its draws (r, 2) of ratio and bound."""
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
    """A speed-up that cannot be read, and draws of it: it may be anything."""
    draws = np.column_stack([np.ones(RESAMPLES), np.full(RESAMPLES, UNKNOWN)])
    return (
        speed_up_from_draws(1.0, UNKNOWN, draws[:, 0], draws[:, 1], units=units, whole=False),
        draws,
    )


def hardest(over: Mapping[str, SpeedUp]) -> str:
    """The baseline that is hardest to beat: that over which the speed-up is smallest."""
    return min(over, key=lambda name: over[name].ratio.value)


def _end(at_least: float, at_most: float, wider: float) -> Ratio:
    """An end of an interval that lies within these two, the `wider` one if both are numbers."""
    if np.isfinite(at_least) and np.isfinite(at_most):
        return Ratio(value=wider)
    if np.isfinite(at_most):
        return Ratio(value=at_most, censored=BELOW)
    if np.isfinite(at_least):
        return Ratio(value=at_least, censored=ABOVE)
    return Ratio(value=1.0, censored=UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What is said about one method on one clock."""

    verdict: str
    against: str
    """The baseline that decides: the one that is hardest to beat, by p value; of a slower method the one that beats it
    best."""
    tails: tuple[float, float]
    """Levels at which its interval agrees with the verdict: below for *faster*, above for *slower*."""


def judge(found: Mapping[str, Mapping[str, SpeedUp]], looks: int = 1) -> dict[str, Judgement]:
    """The judgement on each method from its speed-ups over every baseline, by method and baseline.

    At most 2.5 % of the sweeps in which no method is faster than the margin call any of them faster, and as many of
    those in which none is slower call any slower. A method is not judged if none of its speed-ups is `whole`: it lost
    runs. A baseline that lost runs must be beaten in those that are left, which speak for it, but makes none slower.
    A sweep that is judged at several `looks` and goes on until it is decided spends a part of the levels at each
    (Bonferroni), so they hold however often it is looked at.
    """
    whole = {method: {b: s for b, s in over.items() if s.whole} for method, over in found.items()}
    whole = {method: over for method, over in whole.items() if over}
    p_faster = {method: max(s.p_faster for s in found[method].values()) for method in whole}
    p_slower = {method: len(over) * min(s.p_slower for s in over.values()) for method, over in whole.items()}
    faster, low = holm(p_faster, TAIL / looks)
    slower, high = holm(p_slower, TAIL / looks)
    judged = {}
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
    """The baselines among `over` on which a judgement rests: all of them for *faster*, else the one that decides."""
    return list(over) if judgement.verdict == FASTER else [judgement.against]


def holm(p_values: Mapping[str, float], level: float) -> tuple[set[str], dict[str, float]]:
    """The names whose hypotheses Holm's step-down procedure rejects, and the level at which it looked at each.

    A name that is not rejected was looked at with the level at which the procedure stopped: its p value is above that
    or it stands behind one that is, so intervals at these levels agree with what is rejected.
    """
    rejected: set[str] = set()
    levels: dict[str, float] = {}
    ordered = sorted(p_values, key=lambda name: p_values[name])
    for position, name in enumerate(ordered):
        levels[name] = level / (len(ordered) - position)
        if p_values[name] > levels[name]:
            return rejected, levels | dict.fromkeys(ordered[position:], levels[name])
        rejected.add(name)
    return rejected, levels
