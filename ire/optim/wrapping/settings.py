"""The settings of IRE, and their checks."""

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from numbers import Integral, Real
from typing import Any

from ire.optim.curvature.sources import SOURCES, Source, source_named


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The arguments of `IRE`, checked.

    Raises:
        ValueError: an argument outside its range.
    """

    kappa: "float | Schedule"
    """κ, the boost: flat coordinates move 1 + κ times as far; a number, or a function of the step."""
    gamma: float
    """γ, the share of coordinates that count as flat."""
    interval: int = 10
    """K, steps between two refreshes of the mask."""
    start: int = 0
    """T_w, the step (counted from 0) that is the first to be boosted."""
    curvature: str | Source = "sampled"
    ema: float = 0.0
    """β of the running average of curvatures, per refresh; 0 keeps only the last one."""
    lr_max: float | None = None
    """κ follows the learning rate as κ · lr / lr_max; None keeps it constant."""
    boost_weight_decay: bool = True
    seed: int = 0
    """Seed of the random masks."""
    compile: bool = False
    by_name: "ByName | None" = None
    """κ, γ and the peak of the lr of single parameters, by their names."""
    ranked_by: "str | Callable[[str], Hashable]" = "model"
    """Which coordinates are ranked together: the model, each block, each tensor, or names with equal values."""
    pack_masks: bool = False
    """Whether checkpoints hold masks as bits."""

    def __post_init__(self) -> None:
        check_number("start", self.start)
        if not (self.start >= 0 and self.start % 1 == 0):
            raise ValueError(
                f"start must be a whole number of steps >= 0, got {self.start}; 0 boosts from the first step, "
                "the end of the warm-up is usual"
            )
        check_range(kappa_at(self.kappa, int(self.start)), self.gamma, self.lr_max)
        for name in ("boost_weight_decay", "compile", "pack_masks"):
            check_switch(name, getattr(self, name))
        is_by_name = self.by_name is None or callable(self.by_name) or isinstance(self.by_name, Mapping)  # pyright: ignore[reportUnnecessaryIsInstance]
        if not is_by_name:
            raise ValueError(
                'by_name must be a dict of settings by pattern, as in {"*norm*": {"kappa": 0}}, or a function of a '
                f"parameter's name, got {self.by_name!r}"
            )
        if isinstance(self.seed, bool) or not isinstance(self.seed, Integral):
            raise ValueError(f"seed must be a whole number, got {self.seed!r}")
        if not callable(self.ranked_by) and self.ranked_by not in RANKINGS:
            raise ValueError(
                f"ranked_by must be one of {', '.join(RANKINGS)}, or a function of a parameter's name, got "
                f"{self.ranked_by!r}"
            )
        for name in ("interval", "ema"):
            check_number(name, getattr(self, name))
        if not (self.interval >= 1 and self.interval % 1 == 0):
            raise ValueError(
                f"interval must be a whole number of steps >= 1, got {self.interval}; 10 costs a tenth of a step extra"
            )
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be in [0, 1), got {self.ema}; 0 means no averaging, 0.9 averages ten")
        source = source_named(self.curvature)
        if source.inverted and self.gamma == 1:
            raise ValueError(
                f"curvature={self.curvature!r} with gamma=1 would boost nothing; choose gamma < 1"
            )
        if self.ema and source is SOURCES["random"]:
            raise ValueError(f"curvature='random' has nothing to average, got ema={self.ema}; use ema=0")


Schedule = Callable[[int], float]
"""κ in the step of that number, counted from 0."""
ByName = Mapping[str, Mapping[str, Any]] | Callable[[str], Mapping[str, Any] | None]
"""Settings by shell pattern (`*norm*`), of which the first match counts; or a function of the name."""
RANKINGS = ("model", "block", "tensor")


def kappa_at(kappa: float | Schedule, step: int) -> float:
    """κ in that step.

    Raises:
        ValueError: a schedule returns something other than a number, or a number outside the range.
    """
    if not callable(kappa):
        return kappa
    value = kappa(step)
    if isinstance(value, bool) or not isinstance(value, Real) or not (math.isfinite(value) and value >= 0):
        raise ValueError(f"kappa as a function must give finite numbers >= 0, got {value!r} at step {step}")
    return float(value)


@cache
def misspelt(name: str, settings: tuple[str, ...]) -> str | None:
    """The setting that `name` misspells, as `kapa` does `kappa`; None if it is a setting, or resembles none."""
    if name in settings:
        return None
    return next(iter(get_close_matches(name, settings, 1, cutoff=0.85)), None)


def check_range(kappa: Any, gamma: float, lr_max: float | None) -> None:
    """Check κ, γ and the peak of the lr.

    Raises:
        ValueError: one is outside its range.
    """
    check_number("kappa", kappa)
    check_number("gamma", gamma)
    if not (math.isfinite(kappa) and kappa >= 0):
        raise ValueError(f"kappa must be finite and >= 0, got {kappa}; 0 is the base optimizer, 1 to 5 usual")
    if not 0 < gamma <= 1:
        raise ValueError(
            f"gamma must be in (0, 1], got {gamma}; it is the share of flat coordinates, 0.6 to 0.99 usual "
            "(some codes give 1 - gamma)"
        )
    if lr_max is not None:
        check_number("lr_max", lr_max)
        if not (math.isfinite(lr_max) and lr_max > 0):
            raise ValueError(
                f"lr_max must be finite and > 0, got {lr_max}; give the peak of the schedule, or None for a "
                "constant kappa"
            )


def check_number(name: str, value: Any) -> None:
    """Check that this is a number.

    Raises:
        ValueError: it is not; a Boolean does not count as one.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{name} must be a number, got {value!r}")


def check_switch(name: str, value: Any) -> None:
    """Check that this is a Boolean.

    Raises:
        ValueError: it is not; a string such as "no" would count as true.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {value!r}")
