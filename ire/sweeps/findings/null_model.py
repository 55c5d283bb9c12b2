"""Predicts a method's controls under the null hypothesis that only the mean step length matters, not curvature.

    loss = base + c (ln m - x)²

where m is the mean length of a step in multiples of the unboosted one: 1 for `kappa0` (times its learning rate), 1 + κa
for IRE, whose mask has a share a of the step's length, 1 + κγ for a random mask, 1 + κ(1 - a) for the inverted one,
1 + κ for γ = 1. If this model predicts the losses of IRE and its controls, they are no evidence for curvature.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import chdtrc  # pyright: ignore[reportMissingTypeStubs] - it has none

from ire.sweeps.search.stages import KAPPA_0

IRE = "ire"
MIN_LEFT = 1
"""Minimum residual degrees of freedom of a fit with four parameters, so that it can be tested."""
FITS = 0.05
"""The model is rejected at or below this p value."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """IRE (`ire`) or one of its controls in one study: settings, mean loss and its standard error."""

    name: str
    kappa: float
    gamma: float
    lr_ratio: float
    """Its learning rate divided by that of IRE."""
    loss: float
    error: float


@dataclass(frozen=True, kw_only=True)
class NullModel:
    """The model fitted to a method and its controls."""

    predicted: Mapping[str, float]
    """Mean cost over the studies, by control; in a comparison the metric's value instead of the cost."""
    p: float
    """p value of the misfit: small if step length alone does not explain the losses."""

    @property
    def fits(self) -> bool:
        return self.p > FITS


def multiplier(point: Point, share: float) -> float:
    """The mean step length in multiples of the unboosted one, for a mask with a `share` of the step's length."""
    boosted = {
        KAPPA_0: 0.0,
        IRE: point.kappa * share,
        "random": point.kappa * point.gamma,
        "mean": point.kappa * point.gamma,
        "sharpest": point.kappa * (1 - share),
        "all": point.kappa,
    }
    return point.lr_ratio * (1 + boosted[point.name])


def fitted(studies: Sequence[Sequence[Point]]) -> NullModel | None:
    """The model, fitted in each study separately; None with too few controls for a test."""
    misfit, left = 0.0, 0
    predicted: dict[str, list[float]] = {}
    for points in studies:
        if len(points) - 4 < MIN_LEFT or any(point.error <= 0 for point in points):
            return None
        # slow to import, and few sweeps need it; scipy has no types
        from scipy.optimize import least_squares  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

        losses, errors = (np.array([getattr(p, name) for p in points]) for name in ("loss", "error"))

        def model(parameters: np.ndarray, points: Sequence[Point] = points) -> np.ndarray:
            base, curvature, best, share = parameters
            logs = np.log([multiplier(point, share) for point in points])
            return base + curvature * (logs - best) ** 2

        def residuals(
            parameters: np.ndarray,
            losses: np.ndarray = losses,
            errors: np.ndarray = errors,
            model: Callable[[np.ndarray], np.ndarray] = model,
        ) -> np.ndarray:
            return (model(parameters) - losses) / errors

        spread = max(np.ptp(losses), 1e-9)
        bounds = ([losses.min() - 10 * spread, 0.0, -5.0, 0.0], [losses.max(), np.inf, 5.0, 1.0])
        starts = [
            (losses.min() - 0.1 * spread, spread, best, share)
            for best in (0.1, 0.7, 1.5)
            for share in (0.1, 0.5)
        ]
        fits: list[Any] = [least_squares(residuals, start, bounds=bounds, x_scale="jac") for start in starts]
        best_fit: Any = min(fits, key=lambda fit: fit.cost)
        misfit += 2 * best_fit.cost
        left += len(points) - 4
        for point, loss in zip(points, model(best_fit.x), strict=True):
            predicted.setdefault(point.name, []).append(float(loss))
    if not left:
        return None
    means = {name: float(np.mean(values)) for name, values in predicted.items()}
    return NullModel(predicted=means, p=float(chdtrc(left, misfit)))
