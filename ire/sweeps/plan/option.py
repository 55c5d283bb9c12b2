"""The description of one sweep option; command line, Python call, checks and reports are made from it."""

import functools
import inspect
import math
import shlex
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from ire.invalid_input import InvalidInput, unknown
from ire.plain_values import is_tuple

P = ParamSpec("P")
R = TypeVar("R")
REQUIRED = inspect.Parameter.empty
"""The default of an option that has none."""
KINDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
PLURALS = {int: "whole numbers", float: "numbers", str: "names"}


@dataclass(frozen=True, kw_only=True)
class Resume:
    """How a resume may change an option: extend a list, turn on a switch, or replace any other value."""

    help: str
    raised: bool = False
    """Whether the new value must not be below the old one."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option of a sweep, in the annotation of a field that provides its name, type and default."""

    help: str
    inherited: str = ""
    """The source of its value if none is given ("the space's"); the call's default is then None."""
    low: float | None = None
    """The lowest value allowed."""
    choices: tuple[str, ...] = ()
    named: tuple[tuple[str, float], ...] = ()
    """For a number: words accepted in its place, and their values."""
    rule: Callable[[Any], str | None] | None = None
    """Returns what a value must be, or None if the value is valid."""
    resume: Resume | None = None
    """How a resume may change it; None if it may not."""
    fixed: bool = False
    """Whether results depend on it, so that a resume with another value is refused."""
    repeated: Literal["always", "unless default", "never"] = "unless default"
    """When the command that reproduces a sweep contains it."""
    flag: bool = True
    """Whether it is on the command line."""
    usual: tuple[Any, ...] = ()
    """For a list that can be switched on: the values that true stands for."""
    values_flag: tuple[str, str, str] = ("", "", "")
    """For such a list: the flag that takes values, its help, and its help in `ire resume`."""
    name: str = ""
    type: Any = None
    default: Any = REQUIRED
    """The default of the field, or `REQUIRED`."""

    @property
    def dashed(self) -> str:
        """Its name on the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def base(self) -> Any:
        """`str` for `str | None`; the type itself otherwise."""
        if get_origin(self.type) in (Union, types.UnionType):
            return next(kind for kind in get_args(self.type) if kind is not type(None))
        return self.type

    @property
    def item(self) -> Any:
        """The item type of a list; None for other types."""
        return get_args(self.base)[0] if get_origin(self.base) is tuple else None

    @property
    def call_default(self) -> Any:
        """The default in the signature of `sweep()`."""
        if self.usual:
            return True
        return None if self.inherited or self.default is REQUIRED else self.default

    @property
    def resume_default(self) -> Any:
        """The default in the signature of `resume()`, which changes nothing."""
        return False if self.usual or self.base is bool else None

    def taken(self, value: Any) -> Any:
        """`value` as stored in the field: any sequence as a tuple, and true as the `usual` values."""
        if self.item is not None and not isinstance(value, str):
            if isinstance(value, bool) or value is None:
                value = self.usual if value else ()
            try:
                items = tuple(value)
            except TypeError:
                return value  # which `check` refuses
            return items if self.item is str else tuple(map(_number, items))
        if isinstance(value, str) and self.named:
            return self._spelled(value)
        return _number(value) if self.base in (int, float) else value

    def _spelled(self, text: str) -> Any:
        """The number that a text or one of `named` stands for; other text unchanged, which `check` refuses."""
        try:
            return dict(self.named)[text] if text in dict(self.named) else self.base(text)
        except ValueError:
            return text

    def check(self, value: Any) -> None:
        """Raise `InvalidInput` for a value of another type, below `low`, outside `choices`, or against `rule`."""
        must, number = None, value
        if value is None and (self.default is None or type(None) in get_args(self.type)):
            return
        if self.item is not None:
            if not is_tuple(value) or not all(_is(self.item, item) for item in value):
                must = f"a list of {PLURALS[self.item]}"
        elif not _is(self.base, value):
            must = " or ".join([KINDS[self.base], *(name for name, _ in self.named)])
        if must is None and self.low is not None and not number >= self.low:
            must = f"at least {self.low:g}"
        if must is None and self.choices and value not in self.choices:
            must = f"one of {', '.join(self.choices)}"
        if must is None and self.rule is not None:
            must = self.rule(value)
        if must is not None:
            shown = ", ".join(map(_plain, value)) if is_tuple(value) else repr(value)
            raise InvalidInput(f"{self.values_flag[0] or self.dashed} {shown}: must be {must}")

    def words(self, value: Any) -> str:
        """`value` as typed after `ire sweep`."""
        if isinstance(value, bool):
            return self.dashed if value else f"--no-{self.dashed[2:]}"
        if is_tuple(value):
            if not value:
                return f"--no-{self.dashed[2:]}"
            return f"{self.values_flag[0] or self.dashed} {shlex.quote(','.join(map(_plain, value)))}"
        return f"{self.dashed} {shlex.quote(_plain(value))}"


def options_of(*tables: type) -> dict[str, Option]:
    """The options in the annotations of dataclasses, by name and in order."""
    found: dict[str, Option] = {}
    for table in tables:
        hints = get_type_hints(table, include_extras=True)
        for field in fields(table):
            kind, *marks = get_args(hints[field.name]) or (None,)
            default = REQUIRED if field.default is MISSING else field.default
            for mark in marks:
                if isinstance(mark, Option):
                    found[field.name] = replace(mark, name=field.name, type=kind, default=default)
    return found


def takes(options: Mapping[str, Any]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function with `**options` accept exactly these keywords with these defaults, also in its signature.

    A call with another name raises `TypeError` with the nearest name.
    """

    def decorated(function: Callable[P, R]) -> Callable[P, R]:
        plain = inspect.signature(function)
        own = [p for p in plain.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [
            *(p for p in own if p.kind is not keyword),
            *(inspect.Parameter(name, keyword, default=default) for name, default in options.items()),
            *(p for p in own if p.kind is keyword),
        ]
        signature = plain.replace(parameters=parameters)

        @functools.wraps(function)
        def call(*arguments: P.args, **given: P.kwargs) -> R:
            for name in given:
                if name not in signature.parameters:
                    raise TypeError(
                        str(unknown(f"option of {function.__name__}()", name, signature.parameters))
                    )
            bound = signature.bind(*arguments, **given)
            bound.apply_defaults()
            return function(*bound.args, **bound.kwargs)

        call.__signature__ = signature  # pyright: ignore[reportAttributeAccessIssue] - functools has no type for it
        return call

    return decorated


def _is(kind: type, value: Any) -> bool:
    if kind is float:
        return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _number(value: Any) -> Any:
    """A number of another library as a Python number; anything else unchanged."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def _plain(value: Any) -> str:
    """A number in the fewest digits that round-trip, anything else as text."""
    if not isinstance(value, float):
        return str(value)
    short = f"{value:g}"
    return short if float(short) == value else repr(value)
