"""The one way in which TOML is written: by tomli-w, so that every text comes back as it was."""

from collections.abc import Mapping
from typing import Any

import tomli_w


def toml_text(table: Mapping[str, Any]) -> str:
    """The table as TOML, texts of several lines as a person would write them; what is None is left out."""
    plain = _without_none(table)
    one_line = tomli_w.dumps(plain)
    if "\\r" in one_line:  # a text of several lines would lose its carriage returns
        return one_line
    return tomli_w.dumps(plain, multiline_strings=True)


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in table.items()
        if value is not None
    }
