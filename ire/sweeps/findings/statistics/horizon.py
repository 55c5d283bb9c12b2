"""Finds the baseline's horizon with the same final loss as a method, on its curve of final loss over horizon.

Every point of the curve is a separate run with a complete schedule. Isotonic regression makes the points monotone,
since a slightly higher loss of a longer run is noise; where longer runs end clearly higher (overfitting), no method is
called faster that a shorter baseline beats. Monotone cubics in the logarithm of the horizon join them: straight lines
would lie above a flattening curve and favour the method. The curve is never extrapolated: values beyond its ends are
censored.
"""

import numpy as np

from ire.sweeps.findings.statistics.monotone_cubic import monotone_cubic

BELOW, WITHIN, ABOVE, UNKNOWN = -1, 0, 1, 2
"""The true value is at most, equals, or is at least the given one; a mean of both bounds is unknown."""
PIECES = 8
"""Number of straight pieces that approximate the cubic between two points."""


def decreasing(losses: np.ndarray) -> np.ndarray:
    """The non-increasing sequences nearest to the rows of `losses` (r, h) in least squares.

    By the min-max formula (Barlow et al. 1972): the minimum over starts of the maximum over ends of the means.
    """
    h: int = losses.shape[1]
    sums = np.concatenate([np.zeros((len(losses), 1)), losses.cumsum(axis=1)], axis=1)
    fitted = np.empty_like(losses)
    for i in range(h):
        best = np.full(len(losses), np.inf)
        for start in range(i + 1):
            ends = np.arange(i + 1, h + 1)
            means = (sums[:, ends] - sums[:, [start]]) / (ends - start)
            best = np.minimum(best, means.max(axis=1))
        fitted[:, i] = best
    return fitted


def equal_horizon(
    factors: np.ndarray, losses: np.ndarray, gains: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The horizons at which the baseline equals methods with `gains` (r, ...) over it at horizon 1.

    `factors` (h,) are rising horizons in multiples of the task's, 1 among them, `losses` (r, h) the baseline's final
    losses there. A gain is the baseline's loss at 1 minus the method's; a gain of 0 gives horizon 1. On a flat part of
    the curve the horizon nearest to 1 is taken, which favours neither side. If the baseline ends as low as a method
    with a gain at a horizon below 1, the curve does not tell how much faster the method is, since it is slower than
    that shorter baseline: `UNKNOWN`. Returns values with the shape of `gains`, in multiples of the task's horizon, and
    `BELOW`, `WITHIN`, `ABOVE` or `UNKNOWN` for each.
    """
    log, curve = joined(np.log(factors), decreasing(losses))
    (one,) = np.flatnonzero(factors == 1.0)
    shorter = losses[:, one] - losses[:, :one].min(axis=1, initial=np.inf)
    if gains.ndim == 1:
        return _horizons(log, curve, gains, shorter)
    columns = [_horizons(log, curve, column, shorter) for column in gains.T]
    return np.stack([values for values, _ in columns], axis=1), np.stack([c for _, c in columns], axis=1)


def _horizons(
    log: np.ndarray, curve: np.ndarray, gains: np.ndarray, shorter: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The horizons of one method, read on the joined curve; `shorter` (r,) are the largest gains of shorter ones."""
    (one,) = np.flatnonzero(log == 0)
    if not gains.any():
        return np.ones(len(gains)), np.full(len(gains), WITHIN)
    targets = curve[:, one] - gains
    faster = _crossing(log[one:], curve[:, one:], curve[:, one:] <= targets[:, None], targets)
    slower = _crossing(log[one::-1], curve[:, one::-1], curve[:, one::-1] >= targets[:, None], targets)
    found = np.where(gains > 0, faster, np.where(gains < 0, slower, 0.0))
    missed = np.isnan(found)
    censored = np.where(missed, np.where(gains > 0, ABOVE, BELOW), WITHIN)
    censored = np.where((gains > 0) & (shorter >= gains), UNKNOWN, censored)
    ends = np.where(gains > 0, float(log[-1]), float(log[0]))
    return np.exp(np.where(missed, ends, found)), censored


def _crossing(log: np.ndarray, curve: np.ndarray, reached: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The first position along `log` (k,) at which the rows of `curve` (r, k) are `reached`; NaN if nowhere."""
    rows, j = np.arange(len(curve)), reached.argmax(axis=1)
    i = np.maximum(j - 1, 0)
    before, after = curve[rows, i], curve[rows, j]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(before == after, 0.0, (targets - before) / (after - before))
    return np.where(reached[rows, j], log[i] + share * (log[j] - log[i]), np.nan)


def joined(log: np.ndarray, curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log horizons and losses of a fine polygon through the points (Fritsch and Carlson 1980); one point stays."""
    if len(log) == 1:
        return log, curve
    share = np.linspace(0, 1, PIECES, endpoint=False)
    fine = np.append((log[:-1, None] + share * np.diff(log)[:, None]).ravel(), log[-1])
    return fine, monotone_cubic(log, curve, fine)
