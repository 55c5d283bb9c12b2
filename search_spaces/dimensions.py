"""One dimension of a search space: what values a setting may take, and which of them was published.

In TOML: `lr = { log = [1e-3, 1.0], published = 0.1 }`; `linear`, `integer` and `choice` likewise; a bare value
is fixed.
"""

from dataclasses import dataclass
from typing import Any

from ire.invalid_input import InvalidInput, unknown

KINDS = ("linear", "log", "integer", "choice")


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Numbers from `low` to `high`, both included, uniform in the value or, with `log`, in its logarithm."""

    low: float
    high: float
    published: float
    log: bool = False
    integer: bool = False

    def __str__(self) -> str:
        kind = "integer" if self.integer else "log" if self.log else "linear"
        return f"{kind} [{self.low:g}, {self.high:g}]"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of a few values, without an order."""

    values: tuple[Any, ...]
    published: Any

    def __str__(self) -> str:
        return f"choice {list(self.values)}"


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """A setting that the space decides and nothing searches."""

    published: Any

    def __str__(self) -> str:
        return f"fixed {self.published!r}"


Dimension = Interval | Choice | Fixed


def read_dimension(value: Any, *, where: str) -> Dimension:
    """The dimension that a TOML value describes; raises `InvalidInput`, naming `where` (file and key)."""
    if not isinstance(value, dict):
        return Fixed(published=value)
    for key in value:
        if key not in (*KINDS, "published"):
            raise unknown("key", key, (*KINDS, "published"), where=where)
    kinds = [key for key in KINDS if key in value]
    if len(kinds) != 1:
        raise InvalidInput(f"{where}: needs exactly one of {', '.join(KINDS)}, has {kinds or 'none'}")
    kind, bounds = kinds[0], value[kinds[0]]
    if "published" not in value:
        raise InvalidInput(f"{where}: needs `published`, the value that trial 0 tries")
    published = value["published"]
    if kind == "choice":
        if not isinstance(bounds, list) or not bounds:
            raise InvalidInput(f"{where}: choice = {bounds!r}: must be a list of values")
        if published not in bounds:
            raise InvalidInput(f"{where}: published = {published!r} is not among the choices {bounds}")
        return Choice(values=tuple(bounds), published=published)
    return _read_interval(kind, bounds, published, where=where)


def _read_interval(kind: str, bounds: Any, published: Any, *, where: str) -> Interval:
    numbers = (int,) if kind == "integer" else (int, float)
    pair = isinstance(bounds, list) and len(bounds) == 2
    if not pair or not all(isinstance(b, numbers) and not isinstance(b, bool) for b in (*bounds, published)):
        wanted = "two integers" if kind == "integer" else "two numbers"
        raise InvalidInput(
            f"{where}: {kind} = {bounds!r}, published = {published!r}: must be [low, high], {wanted}, "
            "and published one more"
        )
    low, high = bounds
    if not low < high:
        raise InvalidInput(f"{where}: {kind} = {bounds}: low must be below high; did you mean {[high, low]}?")
    if kind == "log" and low <= 0:
        raise InvalidInput(f"{where}: log = {bounds}: both ends must be above 0; did you mean linear?")
    if not low <= published <= high:
        raise InvalidInput(f"{where}: published = {published!r} lies outside [{low}, {high}]")
    return Interval(low=low, high=high, published=published, log=kind == "log", integer=kind == "integer")
