"""One setting of a method: its meaning, default, type and valid values."""

import builtins
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ire.invalid_input import InvalidInput

KINDS: dict[type, str] = {float: "a number", int: "an integer", bool: "a Boolean", str: "a string"}

Value = float | int | bool | str


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A number, a Boolean or one of a few strings; `check` reads a given value."""

    doc: str
    default: Value | None = None
    """None means that it must be given, or is an option (`Part.options`)."""
    type: builtins.type = float
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    choices: tuple[str, ...] = ()
    """The valid strings, unless `read` takes more."""
    read: Callable[[str], Any] | None = None
    """Reads a string that is not in `choices`; raises `InvalidInput` for an invalid one."""

    @property
    def interval(self) -> str:
        """The valid values in mathematical notation: `(0, 1]`."""
        if self.type is bool:
            return "true or false"
        if self.type is str:
            return ", ".join(self.choices)
        return f"{'(' if self.low_open else '['}{self.low:g}, {self.high:g}{')' if self.high_open else ']'}"

    def check(self, name: str, value: Any, *, where: str = "") -> Value:
        """`value` as the setting's type; raises `InvalidInput` if it is of another type or out of range."""
        place = f" in {where}" if where else ""
        if self.type is str:
            return self._text(name, value, place)
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        if self.type is bool:
            valid = isinstance(value, bool)
        elif self.type is int:
            valid = numeric and math.isfinite(value) and float(value).is_integer()
        else:
            valid = numeric and math.isfinite(value)
        if valid and self.type is not bool:
            valid = (value > self.low if self.low_open else value >= self.low) and (
                value < self.high if self.high_open else value <= self.high
            )
        if not valid:
            raise InvalidInput(
                f"{name} = {value!r}{place}: must be {KINDS[self.type]} in {self.interval} ({self.doc})"
            )
        return self.type(value)

    def _text(self, name: str, value: Any, place: str) -> str:
        if value in self.choices and isinstance(value, str):
            return value
        if self.read is None or not isinstance(value, str):
            raise InvalidInput(f"{name} = {value!r}{place}: must be one of {self.interval} ({self.doc})")
        try:
            self.read(value)
        except InvalidInput as error:
            rule = str(error).removeprefix(f"{name} = {value!r}: ")
            raise InvalidInput(f"{name} = {value!r}{place}: {rule}") from error
        return value


def decay_rate(doc: str, default: float) -> Setting:
    """The decay of a running average, in [0, 1)."""
    return Setting(doc=doc, default=default, low=0, high=1, high_open=True)


def positive(doc: str, default: float) -> Setting:
    """A number above 0."""
    return Setting(doc=doc, default=default, low=0, low_open=True)


def count(doc: str, default: int) -> Setting:
    """A whole number of at least 1."""
    return Setting(doc=doc, default=default, type=int, low=1)
