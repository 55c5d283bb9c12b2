"""Reads a sweep from a file: `ire sweep CONFIG.toml` takes a handwritten file, or the `sweep.toml` of a sweep."""

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import tomli_w

from ire.invalid_input import InvalidInput, unknown
from ire.plain_values import is_list, is_table
from ire.sweeps.plan.options import OPTIONS
from ire.sweeps.plan.plan import SCHEMA, Plan
from ire.trial.scale import split_scale
from search_spaces import Space
from search_spaces.space import parse_space

OF_A_SWEEP = ("schema", "versions", "rules", "import_path", "data")
"""Keys of a `sweep.toml` that are not options: a new sweep determines them again."""


def read_config(path: str | Path) -> dict[str, Any]:
    """The task and the options in a file, as `ire.sweep` takes them; raises `InvalidInput`.

    Keys are the names of options, with underscores. `space` is a path relative to the file, the space itself as a
    table, or the form that a sweep writes. The name in a `sweep.toml` is dropped, since its folder exists.
    """
    source, table = str(path), _table(Path(path))
    is_written = "schema" in table
    if is_written:
        if table["schema"] != SCHEMA:
            raise InvalidInput(f"{source}: schema {table['schema']!r}; this version of ire reads {SCHEMA}")
        table.pop("name", None)
        _check_written(table, source)
    for key in OF_A_SWEEP if is_written else ():
        table.pop(key, None)
    for key in table:
        if key not in OPTIONS and key != "task":
            raise unknown("option", key, ["task", *OPTIONS], where=source)
    found = {key: _value(key, value, source) for key, value in table.items() if key != "space"}
    task = found.get("task")
    if found.get("preset") is not None:
        if is_written:
            found["scale"] = split_scale(str(found.pop("task")))[1]
        return found
    if not isinstance(task, str):
        raise InvalidInput(f"{source}: needs a task, as in task = 'digits', or a preset")
    if "space" in table:
        found["space"] = _space(table["space"], task, Path(path))
    return found


def _table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidInput(f"{str(path)!r}: there is no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read {str(path)!r}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{path}: not TOML: {error}") from error


def _check_written(table: dict[str, Any], source: str) -> None:
    known = {field.name for field in fields(Plan)} | set(OF_A_SWEEP)
    for key in table:
        if key not in known:
            raise InvalidInput(f"{source}: unknown key {key!r}: a newer version of ire wrote the file")


def _value(key: str, value: Any, source: str) -> Any:
    """The value of an option, a list as a tuple; raises `InvalidInput` for a table or a date."""
    if is_list(value):
        return tuple(value)
    if not isinstance(value, str | int | float | bool):
        raise InvalidInput(
            f"{source}: {key} = {value!r}: must be text, a number, true or false, or a list of these"
        )
    return value


def _space(value: Any, task: str, path: Path) -> Space | Path:
    if isinstance(value, str):
        return path.parent / value
    if not is_table(value):
        raise InvalidInput(f"{path}: space = {value!r}: must be the path of a space file or a table")
    if set(value) == {"source", "text"} and all(isinstance(text, str) for text in value.values()):
        return parse_space(value["text"], task=task, source=value["source"])
    return parse_space(tomli_w.dumps(value), task=task, source=f"{path}, [space]")
