"""Winners at the edge of what was searched: there the best may lie outside, and the comparison is not finished."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces import Interval
from sweeps.plan import Plan
from trainables.methods import parse_method

NEAR = 0.05
"""Share of a dimension's range, on its own scale, that counts as its edge."""


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
    """The settings of a winner that lie at an end of the range they were searched in, and may go on behind it."""
    found, admissible = [], parse_method(method).settings
    for name, dimension in plan.space.dimensions(parse_method(method)).items():
        if not isinstance(dimension, Interval):
            continue
        low, high, value = dimension.low, dimension.high, settings[name]
        if dimension.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        position = (value - low) / (high - low)
        if position < NEAR or position > 1 - NEAR:
            lower = position < NEAR
            end = dimension.low if lower else dimension.high
            if end == (admissible[name].low if lower else admissible[name].high):
                continue  # there is nothing behind it
            found.append(Edge(method=method, setting=name, value=settings[name], end=end, is_lower=lower))
    return found
