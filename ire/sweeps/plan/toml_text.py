"""The one way in which TOML is written: by tomli-w, so that every text comes back as it was."""

from collections.abc import Mapping
from typing import Any

import tomli_w

from ire.invalid_input import InvalidInput


def toml_text(table: Mapping[str, Any]) -> str:
    """The table as TOML, texts of several lines as a person would write them; what is None is left out."""
    plain = _plain(table)
    try:
        one_line = tomli_w.dumps(plain)
    except TypeError as error:
        raise InvalidInput(
            f"a value of {', '.join(map(str, table))} cannot be written as TOML: {error}"
        ) from error
    if "\\r" in one_line:  # a text of several lines would lose its carriage returns
        return one_line
    return tomli_w.dumps(plain, multiline_strings=True)


def _plain(value: Any) -> Any:
    """Without None, and with Python's numbers for those of numpy and torch."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value.item() if getattr(value, "ndim", None) == 0 else value
