"""The only place that writes TOML: tomli-w writes every string so that it is read back unchanged."""

from collections.abc import Mapping
from typing import Any

import tomli_w

from ire.invalid_input import InvalidInput
from ire.plain_values import is_list, is_mapping, is_tuple


def toml_text(table: Mapping[str, Any]) -> str:
    """The table as TOML, with multi-line strings where possible; None is left out. Raises `InvalidInput`."""
    plain = _plain(table)
    try:
        one_line = tomli_w.dumps(plain)
    except TypeError as error:
        raise InvalidInput(f"{_place(plain)} cannot be written as TOML: {error}") from error
    if "\\r" in one_line:  # a multi-line string would lose its carriage returns
        return one_line
    return tomli_w.dumps(plain, multiline_strings=True)


def _plain(value: Any) -> Any:
    """The value without None, and with Python numbers instead of those of numpy and torch."""
    if is_mapping(value):
        return {key: _plain(entry) for key, entry in value.items() if entry is not None}
    if is_list(value) or is_tuple(value):
        return [_plain(entry) for entry in value]
    return value.item() if getattr(value, "ndim", None) == 0 else value


def _place(table: Mapping[Any, Any], where: str = "") -> str:
    """The first key whose value cannot be written, with those above it: `arms.mine.optimizer`."""
    for key, value in table.items():
        try:
            tomli_w.dumps({key: value})
        except TypeError:
            return _place(value, f"{where}{key}.") if is_mapping(value) else f"{where}{key}"
    return where.removesuffix(".")
