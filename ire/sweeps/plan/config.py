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
from ire.sweeps.plan.trust import check_trusted, task_modules
from ire.trial.scale import split_scale
from ire.trial.script import is_script, search_beside
from search_spaces import Space
from search_spaces.space import parse_space

OF_A_SWEEP = {"schema", "versions", *(f.name for f in fields(Plan))} - {"task", "space", *OPTIONS}
"""Keys of a `sweep.toml` that are not options: a new sweep determines them again."""


def read_config(path: str | Path, *, trust: bool = False) -> dict[str, Any]:
    """The task and the options in a file, as `ire.sweep` takes them; raises `InvalidInput`.

    Keys are the names of options, with underscores. `space` is a path relative to the file, the space itself as a
    table, or the form that a sweep writes. The name in a `sweep.toml` is dropped, since its folder exists; its script
    is found in the folder that it had, if this user has run it before or with `trust`.
    """
    source, table = str(path), _table(Path(path))
    is_written = "schema" in table
    if is_written:
        if table["schema"] != SCHEMA:
            raise InvalidInput(f"{source}: schema {table['schema']!r}; this version of ire reads {SCHEMA}")
        table.pop("name", None)
        _check_written(table, source)
        if is_script(str(table.get("task"))):
            table["task"] = _script(table, source, trust=trust)
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
    for key in table:
        if key not in OF_A_SWEEP and key not in OPTIONS and key not in ("task", "space"):
            raise InvalidInput(f"{source}: unknown key {key!r}: a newer version of ire wrote the file")


def _script(table: dict[str, Any], source: str, *, trust: bool) -> str:
    """The script and function of a `sweep.toml`, with the folder that it recorded beside them."""
    folders: list[Any] = table.get("import_path", [])
    if not is_list(folders) or not folders or not all(isinstance(folder, str) for folder in folders):
        raise InvalidInput(f"{source}: import_path = {folders!r}: must begin with the folder of the script")
    if not trust:
        check_trusted(task_modules(table["task"]), folders, source=source)
    return str(Path(folders[0]) / table["task"])


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
    search_beside(task)
    if isinstance(value, str):
        return path.parent / value
    if not is_table(value):
        raise InvalidInput(f"{path}: space = {value!r}: must be the path of a space file or a table")
    if set(value) == {"source", "text"} and all(isinstance(text, str) for text in value.values()):
        return parse_space(value["text"], task=task, source=value["source"])
    return parse_space(tomli_w.dumps(value), task=task, source=f"{path}, [space]")
