"""When a setting is searched: `when = "schedule == 'wsd'"` beside its range.

If the condition does not hold, the setting is left out and has its default. A condition is one or more tests of other
settings, joined by `and`; a test of a setting that is itself left out does not hold.
"""

import operator
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ire.invalid_input import InvalidInput
from ire.plain_values import is_list

OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "in": lambda value, values: value in values,
}
TEST = re.compile(
    r"\s*(?P<name>[A-Za-z][A-Za-z0-9_.]*)\s*(?P<operator>==|!=|<=|>=|<|>|\bin\b)\s*(?P<value>.+?)\s*"
)
EXAMPLE = 'as in when = "schedule == \'wsd\'", "lr > 0.01" or "batch in [16, 32] and nesterov == true"'


@dataclass(frozen=True, kw_only=True)
class Condition:
    """Tests (setting, operator, value) that must all hold."""

    text: str
    tests: tuple[tuple[str, str, Any], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The settings that it tests."""
        return tuple(name for name, _, _ in self.tests)

    def holds(self, settings: Mapping[str, Any]) -> bool:
        """Whether every test holds; a test of an absent setting does not."""
        return all(
            name in settings and _test(settings[name], OPERATORS[sign], value)
            for name, sign, value in self.tests
        )

    def __str__(self) -> str:
        return self.text


class Conditional(Protocol):
    """A dimension, which may have a condition."""

    @property
    def when(self) -> Condition | None: ...


def _test(one: Any, compare: Callable[[Any, Any], bool], other: Any) -> bool:
    try:
        return bool(compare(one, other))
    except TypeError:  # a string and a number
        return False


def read_condition(text: object, *, where: str) -> Condition:
    """The condition that `when` gives; raises `InvalidInput`."""
    if not isinstance(text, str):
        raise InvalidInput(f"{where}: when = {text!r}: must be a string, {EXAMPLE}")
    tests: list[tuple[str, str, Any]] = []
    for part in re.split(r"\sand\s", text):
        found = TEST.fullmatch(part)
        try:
            value = tomllib.loads(f"value = {found['value']}")["value"] if found else None
        except tomllib.TOMLDecodeError:
            value = None
        if found is None or value is None or (found["operator"] == "in") != is_list(value):
            raise InvalidInput(f"{where}: when = {text!r}: must be NAME, a comparison and a value, {EXAMPLE}")
        tests.append((found["name"], found["operator"], tuple(value) if is_list(value) else value))
    return Condition(text=text, tests=tuple(tests))


def in_order(dimensions: Mapping[str, Conditional], *, where: str) -> Iterator[str]:
    """The names of `dimensions`, each after those that its condition tests; raises `InvalidInput` for a circle."""
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> Iterator[str]:
        if name in path:
            raise InvalidInput(f"{where}: conditions form a circle: {' -> '.join((*path, name))}")
        if name in done:
            return
        condition = dimensions[name].when
        for other in condition.names if condition else ():
            if other in dimensions:
                yield from visit(other, (*path, name))
        done.add(name)
        yield name

    for name in dimensions:
        yield from visit(name, ())


def active(
    dimensions: Mapping[str, Conditional], settings: Mapping[str, Any], *, where: str = ""
) -> set[str]:
    """The names of the `dimensions` that are active in `settings`, whatever values these have for the others."""
    known: dict[str, Any] = {}
    for name in in_order(dimensions, where=where):
        condition = dimensions[name].when
        if name in settings and (condition is None or condition.holds(known)):
            known[name] = settings[name]
    return set(known)
