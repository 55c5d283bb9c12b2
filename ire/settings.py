"""What can be set about IRE, and what of it makes sense."""

import math
from dataclasses import dataclass

from ire.curvature import source_named


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The arguments of `IRE`, checked.

    Raises:
        ValueError: an argument outside its range.
    """

    kappa: float
    """κ, the boost: flat coordinates move 1 + κ times as far."""
    gamma: float
    """γ, the share of coordinates that count as flat."""
    interval: int = 10
    """K, steps between two refreshes of the mask."""
    start: int = 0
    """T_w, the step (counted from 0) that is the first to be boosted."""
    curvature: str = "sampled"
    seed: int = 0

    def __post_init__(self) -> None:
        check_kappa(self.kappa)
        check_gamma(self.gamma)
        if not self.interval >= 1:
            raise ValueError(
                f"interval must be >= 1 steps, got {self.interval}; 10 costs a tenth of a step extra"
            )
        if not self.start >= 0:
            raise ValueError(
                f"start must be >= 0 steps, got {self.start}; 0 boosts from the first step, "
                "the end of the warm-up is usual"
            )
        if source_named(self.curvature).inverted and self.gamma == 1:
            raise ValueError(
                f"curvature={self.curvature!r} with gamma=1 would boost nothing; choose gamma < 1"
            )


def check_kappa(kappa: float) -> None:
    if not (math.isfinite(kappa) and kappa >= 0):
        raise ValueError(f"kappa must be finite and >= 0, got {kappa}; 0 is the base optimizer, 1 to 5 usual")


def check_gamma(gamma: float) -> None:
    if not 0 < gamma <= 1:
        raise ValueError(
            f"gamma must be in (0, 1], got {gamma}; it is the share of flat coordinates, 0.6 to 0.99 usual "
            "(some codes give 1 - gamma)"
        )
