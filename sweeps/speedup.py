"""How much sooner a method reaches the loss that the best tuned baseline ends at.

The target is the baseline's mean final validation loss over the confirm seeds. A method's time is where its mean
validation curve first falls to the target, interpolated between evaluations; the speed-up is the baseline's time
over the method's, so above 1 is faster. Both run the same horizon on the same seeds (same initialisation, same
data order), and the interval is a bootstrap over these pairs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainables.seeds import derive_seed

CLOCKS = {"step": "steps", "gradient_evaluations": "gradient evaluations", "wall": "wall-clock"}
MARGIN = 1.05
"""A method is called faster only if the lower end of its interval exceeds this; fixed beforehand."""
MIN_SEEDS = 3
"""Fewer pairs than this never make a verdict: a bootstrap of one or two knows nothing of their spread."""
RESAMPLES = 2000

Curve = Sequence[Mapping[str, Any]]
"""The reports of one run, in rising steps."""


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A speed-up; `censored` means that the target was not reached: the true value is at most this."""

    value: float
    censored: bool = False

    def __str__(self) -> str:
        return f"{'≤' if self.censored else ''}{self.value:.2f}"


@dataclass(frozen=True, kw_only=True)
class SpeedUp:
    """The speed-up of a method on one clock with its 95 % interval."""

    ratio: Ratio
    low: Ratio
    high: Ratio
    seeds: int
    """Pairs of runs behind it."""
    whole: bool = True
    """Whether every planned pair is among them; False if runs diverged or failed."""

    @property
    def verdict(self) -> str:
        """`faster`, `slower` or `not shown`."""
        if self.seeds < MIN_SEEDS or not self.whole:
            return "not shown"
        if self.low.value > MARGIN and not self.low.censored:
            return "faster"
        return "slower" if self.high.value < 1 else "not shown"

    def __str__(self) -> str:
        return f"{self.ratio} [{self.low}, {self.high}]" if self.seeds > 1 else f"{self.ratio} (one seed)"


def speed_up(
    baseline: Sequence[Curve], method: Sequence[Curve], clock: str, *, seed: int = 0, whole: bool = True
) -> SpeedUp:
    """The speed-up of `method` over `baseline`; the i-th curves of both are a pair.

    `clock` is one of `CLOCKS`; wall-clock is steps times the time of a step, curvature passes included, of
    the method's median run, so that a cold start or a busy moment in one run does not decide.
    """
    n = min(len(baseline), len(method))
    pairs = range(n)
    scale = _step_seconds(baseline) / _step_seconds(method) if clock == "wall" else 1.0
    key = "step" if clock == "wall" else clock
    draws = np.random.default_rng(derive_seed(seed, "bootstrap"))
    losses = [
        np.array([[r["val_loss"] for r in curve] for curve in curves[:n]]) for curves in (baseline, method)
    ]
    times = [np.array([r[key] for r in curves[0]], dtype=float) for curves in (baseline, method)]

    def ratio(picked: Sequence[int]) -> Ratio:
        mean_baseline, mean_method = (values[list(picked)].mean(axis=0) for values in losses)
        target = mean_baseline[-1]
        base = time_to_target(times[0], mean_baseline, target)
        mine = time_to_target(times[1], mean_method, target)
        reached = math.isfinite(mine)
        return Ratio(value=scale * base / (mine if reached else times[1][-1]), censored=not reached)

    samples = sorted(
        (ratio(draws.integers(n, size=n)) for _ in range(RESAMPLES if n > 1 else 1)),
        key=lambda r: (r.value, not r.censored),
    )
    last = len(samples) - 1
    low, high = samples[round(0.025 * last)], samples[round(0.975 * last)]
    return SpeedUp(ratio=ratio(pairs), low=low, high=high, seeds=n, whole=whole)


def time_to_target(times: np.ndarray, losses: np.ndarray, target: float) -> float:
    """Where the curve first falls to `target`, linear between evaluations; infinity if it never does.

    `times` (n,) and `losses` (n,) are in order; a target met at the first evaluation gives its time.
    """
    below = np.flatnonzero(losses <= target)
    if len(below) == 0:
        return math.inf
    i = below[0]
    if i == 0 or losses[i - 1] == losses[i]:
        return float(times[i])
    share = (losses[i - 1] - target) / (losses[i - 1] - losses[i])
    return float(times[i - 1] + share * (times[i] - times[i - 1]))


def _step_seconds(curves: Sequence[Curve]) -> float:
    """Training seconds over steps of each whole run, and of these the median."""
    return float(np.median([curve[-1]["seconds"] / curve[-1]["step"] for curve in curves]))
