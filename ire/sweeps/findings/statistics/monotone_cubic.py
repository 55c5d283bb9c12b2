"""A monotone piecewise cubic through points (Fritsch and Butland 1984): scipy's PCHIP without importing scipy.

`scipy.interpolate` takes longer to import than everything else in `ire status`. The values are equal, bit for bit.
"""

import numpy as np


def monotone_cubic(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Values (r, n) at rising `at` (n,) of the curves through rows of `y` (r, k) at rising `x` (k,), k at least 2."""
    steps = np.diff(x)
    slopes = np.diff(y, axis=1) / steps
    tangents = _tangents(steps, slopes)
    bend = (tangents[:, :-1] + tangents[:, 1:] - 2 * slopes) / steps
    square = (slopes - tangents[:, :-1]) / steps - bend
    piece = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(steps) - 1)
    s = at - x[piece]
    found = y[:, piece] + tangents[:, piece] * s
    found = found + square[:, piece] * (s * s)
    return found + (bend / steps)[:, piece] * (s * s * s)


def _tangents(steps: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """The slopes at the points (r, k): weighted harmonic means, 0 at an extremum; three-point formulas at the ends."""
    if len(steps) == 1:
        return np.repeat(slopes, 2, axis=1)
    before, after = slopes[:, :-1], slopes[:, 1:]
    flat = (np.sign(before) != np.sign(after)) | (before == 0) | (after == 0)
    w1, w2 = 2 * steps[1:] + steps[:-1], steps[1:] + 2 * steps[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = 1.0 / ((w1 / before + w2 / after) / (w1 + w2))
    tangents = np.zeros((len(slopes), len(steps) + 1))
    tangents[:, 1:-1] = np.where(flat, 0.0, inside)
    tangents[:, 0] = _end(steps[0], steps[1], slopes[:, 0], slopes[:, 1])
    tangents[:, -1] = _end(steps[-1], steps[-2], slopes[:, -1], slopes[:, -2])
    return tangents


def _end(h0: float, h1: float, m0: np.ndarray, m1: np.ndarray) -> np.ndarray:
    """The slope (r,) at an end; its piece has length `h0` and slope `m0`, the next piece `h1` and `m1`."""
    found = ((2 * h0 + h1) * m0 - h0 * m1) / (h0 + h1)
    turns = np.sign(found) != np.sign(m0)
    steep = (np.sign(m0) != np.sign(m1)) & (np.abs(found) > 3.0 * np.abs(m0))
    return np.where(turns, 0.0, np.where(steep, 3.0 * m0, found))
