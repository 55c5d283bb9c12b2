"""Spaces for tests: one of the package's with other values, built from its data and never from its text."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from search_spaces.space import Space, find_space, overlaid, parse_space

DIGITS = Path(__file__).with_name("data") / "digits-240.toml"
"""The space of `digits` that tests are written for: 240 steps, one study."""
SHORT = {"horizon": 48, "search": {"rungs": [24]}}
"""A fifth of the steps of digits."""


def space_text(
    over: Mapping[str, Any], *, task: str = "digits", without: Sequence[tuple[str, str]] = ()
) -> str:
    """The space file of `task` with the values of `over`, and without the settings (table, name) of `without`.

    Raises `AssertionError` if that changes nothing or a setting to leave out is not there.
    """
    table = tomllib.loads(DIGITS.read_text() if task == "digits" else find_space(task).text)
    changed = overlaid(table, over)
    for part, name in without:
        changed[part] = {key: value for key, value in changed[part].items() if key != name}
        assert name in table[part], f"{task} has no {part}.{name}"
    assert changed != table, f"{over} is what {task} has already"
    return tomli_w.dumps(changed)


def digits() -> Space:
    """`DIGITS`, parsed."""
    return parse_space(DIGITS.read_text(), task="digits", source="digits.toml")


def space_with(
    over: Mapping[str, Any],
    *,
    task: str = "digits",
    source: str = "a test",
    without: Sequence[tuple[str, str]] = (),
) -> Space:
    """As `space_text`, parsed: a key that no space has is refused."""
    return parse_space(space_text(over, task=task, without=without), task=task, source=source)
