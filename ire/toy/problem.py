"""The two-dimensional problem on which the effect of IRE is visible, and its law of the effective rate.

    L(u, v) = (1 + u²) v² / 2

Its minima are the line v = 0, where the sharpness is 1 + u²; the flattest minimum is at u = 0. Gradient descent
stops where it reaches the line, while IRE continues along it (Wang et al. 2024, §2, Eq. 3). Plain floats, no tensors.
"""

import math
import random
from collections.abc import Iterator
from itertools import islice, takewhile
from typing import NamedTuple

START = (1.0, 0.01)
"""The start (u, v) of the runs in Fig. 1."""


class Point(NamedTuple):
    u: float
    v: float


def loss(at: Point) -> float:
    return (1 + at.u**2) * at.v**2 / 2


def gradient(at: Point) -> Point:
    return Point(at.u * at.v**2, (1 + at.u**2) * at.v)


def boosted(at: Point, g: Point, eta: float, kappa: float) -> Point:
    """One step along -g with the flat direction, u, boosted.

    On this problem that is exactly the mask of γ = 1/2 if v² < 1 + u².
    """
    return Point(at.u - eta * (1 + kappa) * g.u, at.v - eta * g.v)


def descend(eta: float, kappa: float = 0.0, start: tuple[float, float] = START) -> Iterator[Point]:
    """The iterates of GD-IRE (GD for κ = 0), starting with `start`; endless unless they overflow."""
    at = Point(*start)
    while math.isfinite(at.u) and math.isfinite(at.v):
        yield at
        try:
            at = boosted(at, gradient(at), eta, kappa)
        except OverflowError:
            return


def after(steps: int, points: Iterator[Point]) -> Point:
    """The iterate after `steps` steps."""
    return next(islice(points, steps, None))


def climb(
    eta: float,
    rho: float,
    kappa: float = 0.0,
    *,
    average: bool = False,
    start: tuple[float, float] = START,
    seed: int = 0,
) -> Iterator[Point]:
    """The iterates of SAM-IRE: the standard ascent ρ g/‖g‖ (Eq. 7), or along a random direction (Eq. 8)."""
    draw = random.Random(seed)
    at = Point(*start)
    while True:
        yield at
        way = Point(draw.gauss(0, 1), draw.gauss(0, 1)) if average else gradient(at)
        scale = rho / (math.hypot(*way) or 1)
        above = Point(at.u + scale * way.u, at.v + scale * way.v)
        at = boosted(at, gradient(above), eta, kappa)


def effective_rate(eta: float, rho: float, kappa: float, *, average: bool = False) -> float:
    """η_eff of Theorems 5.5 and 5.6: the relative decrease of u per step; p = 2 here."""
    return (1 + kappa) * eta * rho**2 / (2 if average else 1)


def measured_rate(eta: float, rho: float, kappa: float, *, average: bool = False, seed: int = 0) -> float:
    """The effective rate measured in a run: the mean of −Δ log u per step while u falls from 1 to 1/2."""
    start = (1.0, eta * rho)  # about where v settles
    points = climb(eta, rho, kappa, average=average, start=start, seed=seed)
    path = list(takewhile(lambda at: at.u > 0.5, points))
    return -math.log(path[-1].u) / (len(path) - 1)
