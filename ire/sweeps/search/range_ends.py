"""Finds winners at an end of a searched range: better settings may lie outside, so the comparison is not finished."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ire.sweeps.plan.plan import Plan
from search_spaces import Choice, Dimension, Fixed, Interval

NEAR = 0.05
"""Share of a dimension's range, on its own scale, that counts as its end."""
DECAY = "weight_decay"
NEGLIGIBLE = 1e-3
"""Weight decay that shrinks weights by a smaller share in a whole trial counts as none."""
MIN_CHOICES = 3
"""A choice of fewer numbers has no ends: each of its numbers would be one."""


@dataclass(frozen=True, kw_only=True)
class Edge:
    """A winner's setting within `NEAR` of an end of its range."""

    method: str
    setting: str
    value: float
    end: float
    is_lower: bool

    def __str__(self) -> str:
        side = "down" if self.is_lower else "up"
        return f"{self.method}: {self.setting} = {self.value:.3g}, searched {side} to {self.end:g}"


def edges(plan: Plan, method: str, settings: Mapping[str, Any]) -> list[Edge]:
    """The settings of a winner at an end of their searched range, where values beyond that end are admissible."""
    arm = plan.method(method)
    admissible = arm.settings | arm.options
    found: list[Edge] = []
    taking_part = plan.space.active(arm, settings)
    for name, dimension in plan.space.dimensions(arm).items():
        end = (
            None
            if isinstance(dimension, Fixed) or name not in taking_part
            else _end(dimension, settings[name])
        )
        if end is None:
            continue
        value, lower = end
        if lower and name == DECAY and _is_off(value, settings, plan.space.horizon):
            continue  # smaller values change nothing
        if name in admissible and value == (admissible[name].low if lower else admissible[name].high):
            continue  # values beyond this end are not admissible
        found.append(Edge(method=method, setting=name, value=settings[name], end=value, is_lower=lower))
    return found


def _is_off(decay: float, settings: Mapping[str, Any], horizon: int) -> bool:
    """Whether this weight decay shrinks weights by a share below `NEGLIGIBLE` in a whole trial."""
    return settings.get("lr", math.inf) * decay * horizon < NEGLIGIBLE


def _end(dimension: Dimension, value: Any) -> tuple[float, bool] | None:
    """The end of a dimension at which `value` lies, and whether it is the lower one; None if it lies at neither."""
    if isinstance(dimension, Interval):
        low, high, ends = dimension.low, dimension.high, (dimension.low, dimension.high)
        if dimension.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        position = (value - low) / (high - low)
        return (ends[0], True) if position < NEAR else (ends[1], False) if position > 1 - NEAR else None
    if (
        isinstance(dimension, Choice)
        and len(dimension.values) >= MIN_CHOICES
        and _are_numbers(dimension.values)
    ):
        low, high = min(dimension.values), max(dimension.values)
        return (low, True) if value == low else (high, False) if value == high else None
    return None


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
