"""Which code an experiment folder may run: what is installed, what this user has run before, and what they allow.

A folder names its task and foreign methods as `module:Class`, and the folders of these modules. Their author has run
them, but another person's folder could run any code on this machine. So the file of each module is located without
importing it, and a module that is neither installed nor was run before is refused until `--trust` is given once.
"""

import importlib.machinery
import json
import os
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ire.entry_points import is_installed
from ire.invalid_input import InvalidInput
from ire.methods.foreign import CLASS
from ire.methods.own_arm import OPTIMIZER
from ire.plain_values import is_list, is_table, is_tuple
from ire.sweeps.records.records import TrialRecord
from ire.trial.script import SUFFIX


def classes_in_plan(text: str) -> tuple[list[str], list[str]]:
    """The modules of the methods in the text of a `sweep.toml` and its space, and the folders to search for them.

    The text is only parsed as TOML; text that is not TOML has no methods.
    """
    table = _table(text)
    space = table.get("space")
    inside = _table(space.get("text") if is_table(space) else None)
    names = [*_texts(table.get("methods")), *_keys(inside)]
    modules = dict.fromkeys(found["module"] for name in names for found in CLASS.finditer(name))
    return list(modules), list(_texts(table.get("import_path")))


def task_modules(task: str) -> list[str]:
    """The module of a task from outside the package, as a list; empty for one of our tasks."""
    module, colon, _ = task.partition(":")
    return [module] if colon else []


def check_trusted(modules: Iterable[str], import_path: Iterable[str], *, source: str) -> None:
    """Raise `InvalidInput` for a module that this user has neither installed nor run; imports nothing."""
    for module in modules:
        file = found_at(module, import_path)
        if file is not None and not is_installed(file) and str(file) not in _remembered():
            raise InvalidInput(
                f"{source} names {module!r}, whose code would run from {str(file)!r}; this user has not run it "
                "before: if you trust it, add --trust once (from Python: trust=True)"
            )


def outside(modules: Iterable[str], import_path: Iterable[str]) -> list[str]:
    """Those of the modules that would be imported and are not installed; nothing is imported."""
    found = {module: found_at(module, import_path) for module in modules}
    return [module for module, file in found.items() if file is not None and not is_installed(file)]


def remember(modules: Iterable[str], import_path: Iterable[str]) -> None:
    """Note that this user has run or allowed these modules; does nothing if the note cannot be written."""
    files = {str(file) for module in modules if (file := found_at(module, import_path)) is not None}
    new = sorted(file for file in files - _remembered() if not is_installed(Path(file)))
    if not new:
        return
    try:
        _notes().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _notes().open("a") as notes:
            notes.write("".join(json.dumps(file) + "\n" for file in new))
    except OSError:
        return


def check_methods(trials: Iterable[TrialRecord], methods: Iterable[str]) -> None:
    """Raise `InvalidInput` if a trial names a class that no method of the plan names; reading it would import it.

    `methods` are those of the plan and the optimizers that its space names for arms.
    """
    known = {found["module"] for name in methods for found in CLASS.finditer(name)}
    for trial in trials:
        for name in (trial.method, trial.arm, str(trial.spec.settings.get(OPTIMIZER))):
            if any(found["module"] not in known for found in CLASS.finditer(name)):
                raise InvalidInput(f"the records hold a trial of {name!r}, which is not in sweep.toml")


def found_at(module: str, import_path: Iterable[str]) -> Path | None:
    """The file or folder of a module's top level, as an import would find it, or None; nothing is imported.

    A training function's module may be a file name, `train.py`, which is looked up in these folders, in order.
    """
    if module.endswith(SUFFIX):
        scripts = (Path(folder) / module for folder in (*import_path, os.getcwd()))
        return next((script.resolve() for script in scripts if script.is_file()), None)
    top = module.partition(".")[0]
    if top in sys.builtin_module_names:
        return None
    spec = importlib.machinery.PathFinder.find_spec(top, [*sys.path, *import_path, os.getcwd()])
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or ()) or [spec.origin]
    return Path(places[0]).resolve() if places[0] else None


def _notes() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "ire" / "trusted.jsonl"


def _remembered() -> set[str]:
    try:
        return {json.loads(line) for line in _notes().read_text().splitlines()}
    except (OSError, ValueError, RuntimeError):  # RuntimeError: a user without a home
        return set()


def _table(text: Any) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text) if isinstance(text, str) else {}
    except tomllib.TOMLDecodeError:
        return {}


def _texts(value: Any) -> Iterator[str]:
    yield from (
        (entry for entry in value if isinstance(entry, str)) if is_list(value) or is_tuple(value) else ()
    )


def _all_texts(value: Any) -> Iterator[str]:
    """All strings in a value, including those nested in lists and tables."""
    if isinstance(value, str):
        yield value
    elif is_table(value):
        yield from _all_texts(list(value.values()))
    elif is_list(value):
        for entry in value:
            yield from _all_texts(entry)


def _keys(table: Any) -> Iterator[str]:
    """Every key of nested tables, the entries of default_methods, and the strings in `optimizer` of an arm."""
    if is_table(table):
        yield from _texts(table.get("default_methods", ()))
        yield from _all_texts(table.get(OPTIMIZER))
        for key, value in table.items():
            yield key
            yield from _keys(value)
