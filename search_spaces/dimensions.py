"""One dimension of a search space: which values a setting may take, and which of them was published.

In TOML: `lr = { log = [1e-3, 1.0], published = 0.1 }`; `linear`, `integer` and `choice` likewise; a bare value
is fixed. `when = "schedule == 'wsd'"` searches a setting only under that condition (`search_spaces.conditions`);
`limits` says how far a search may move a range whose end it reaches (`ire sweep --widen`).
"""

import math
from dataclasses import dataclass, replace
from typing import Any

from ire.invalid_input import InvalidInput, unknown
from ire.plain_values import is_list, is_table
from search_spaces.conditions import Condition, read_condition

KINDS = ("linear", "log", "integer", "choice")
KEYS = (*KINDS, "published", "when", "limits")


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Numbers from `low` to `high`, both included, uniform in the value or, with `log`, in its logarithm."""

    low: float
    high: float
    published: float
    log: bool = False
    integer: bool = False
    when: Condition | None = None
    limits: tuple[float, float] | None = None
    """How far the ends may be moved; None means not at all."""

    def __str__(self) -> str:
        kind = "integer" if self.integer else "log" if self.log else "linear"
        return f"{kind} [{self.low:g}, {self.high:g}]{_if(self.when)}"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of a few values, without an order."""

    values: tuple[Any, ...]
    published: Any
    when: Condition | None = None

    def __str__(self) -> str:
        return f"choice {list(self.values)}{_if(self.when)}"


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """A setting with a value that the space fixes."""

    published: Any
    when: Condition | None = None

    def __str__(self) -> str:
        return f"fixed {self.published!r}{_if(self.when)}"


Dimension = Interval | Choice | Fixed


def _if(when: Condition | None) -> str:
    return f" when {when}" if when else ""


def ends(dimension: Dimension) -> tuple[Any, ...]:
    """The values that bound a dimension: both ends and the published value, all choices, or the fixed value."""
    if isinstance(dimension, Interval):
        return (dimension.low, dimension.high, dimension.published)
    return dimension.values if isinstance(dimension, Choice) else (dimension.published,)


def holds(dimension: Dimension, value: Any) -> bool:
    """Whether a dimension holds `value`; a Boolean is not a number."""
    if isinstance(dimension, Interval):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        whole = number and (not dimension.integer or float(value).is_integer())
        return whole and dimension.low <= value <= dimension.high
    values = dimension.values if isinstance(dimension, Choice) else (dimension.published,)
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in values)


def read_dimension(value: Any, *, where: str) -> Dimension:
    """The dimension that a TOML value describes; raises `InvalidInput`, naming `where` (file and key)."""
    if not is_table(value):
        return Fixed(published=value)
    for key in value:
        if key not in KEYS:
            raise unknown("key", key, KEYS, where=where)
    kinds = [key for key in KINDS if key in value]
    if len(kinds) != 1:
        raise InvalidInput(f"{where}: needs exactly one of {', '.join(KINDS)}, has {kinds or 'none'}")
    kind, bounds = kinds[0], value[kinds[0]]
    if "published" not in value:
        raise InvalidInput(f"{where}: needs `published`, the value that trial 0 tries")
    published = value["published"]
    when = read_condition(value["when"], where=where) if "when" in value else None
    if kind != "choice":
        interval = _read_interval(kind, bounds, published, when=when, where=where)
        return (
            replace(interval, limits=_read_limits(value["limits"], interval, where))
            if "limits" in value
            else interval
        )
    if not is_list(bounds) or not bounds:
        raise InvalidInput(f"{where}: choice = {bounds!r}: must be a list of values")
    if "limits" in value:
        raise InvalidInput(f"{where}: limits are for a range of numbers; add the values to the choices")
    choice = Choice(values=tuple(bounds), published=published, when=when)
    if not holds(choice, published):
        raise InvalidInput(f"{where}: published = {published!r} is not among the choices {bounds}")
    if len({(isinstance(one, bool), one) for one in bounds if not isinstance(one, list | dict)}) < len(
        bounds
    ):
        raise InvalidInput(f"{where}: choice = {bounds!r}: must be different numbers, strings or Booleans")
    return choice


def _read_limits(limits: Any, interval: Interval, where: str) -> tuple[float, float]:
    numbers = int if interval.integer else int | float
    pair = is_list(limits) and len(limits) == 2
    if not pair or not all(isinstance(end, numbers) and not isinstance(end, bool) for end in limits):
        raise InvalidInput(
            f"{where}: limits = {limits!r}: must be [low, high], between which the range may be moved"
        )
    low, high = limits
    if not (low <= interval.low and interval.high <= high and math.isfinite(low) and math.isfinite(high)):
        raise InvalidInput(
            f"{where}: limits = {limits}: must contain the range [{interval.low:g}, {interval.high:g}]"
        )
    if interval.log and low <= 0:
        raise InvalidInput(
            f"{where}: limits = {limits}: both must be above 0, since the range is logarithmic"
        )
    return low, high


def _read_interval(kind: str, bounds: Any, published: Any, *, when: Condition | None, where: str) -> Interval:
    numbers = (int,) if kind == "integer" else (int, float)
    pair = is_list(bounds) and len(bounds) == 2
    if not pair or not all(isinstance(b, numbers) and not isinstance(b, bool) for b in (*bounds, published)):
        wanted = "two integers" if kind == "integer" else "two numbers"
        more = "; further known points are [[points.METHOD]]" if is_list(published) else ""
        raise InvalidInput(
            f"{where}: {kind} = {bounds!r}, published = {published!r}: must be [low, high], {wanted}, "
            f"and published a third{more}"
        )
    low, high = bounds
    if not all(map(math.isfinite, (low, high, published))):
        raise InvalidInput(
            f"{where}: {kind} = {bounds}, published = {published}: each must be a finite number"
        )
    if not low < high:
        raise InvalidInput(f"{where}: {kind} = {bounds}: low must be below high; did you mean {[high, low]}?")
    if kind == "log" and low <= 0:
        raise InvalidInput(f"{where}: log = {bounds}: both ends must be above 0; did you mean linear?")
    if not low <= published <= high:
        raise InvalidInput(f"{where}: published = {published!r} lies outside [{low}, {high}]")
    return Interval(
        low=low, high=high, published=published, log=kind == "log", integer=kind == "integer", when=when
    )
