"""Makes a checked plan from the options of `sweep()`, which fill in each other, the preset and the search space."""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ire.invalid_input import InvalidInput
from ire.methods.method import named, parse_method
from ire.plain_values import is_mapping
from ire.storage.credentials import without_credentials
from ire.storage.storage import is_uri
from ire.sweeps.plan.options import OF_THE_CALL, PLANNED
from ire.sweeps.plan.plan import RULES, Plan
from ire.sweeps.plan.preset import load_preset
from ire.sweeps.plan.toml_text import toml_text
from ire.trial.scale import scaled
from ire.trial.script import located, search_beside
from search_spaces import Space, find_space
from search_spaces.space import parse_space
from trainables.data.folder import given_data_folder
from trainables.functions.in_process import is_of_no_file, name_of
from trainables.functions.trial import Trial


def planned(task: str | Callable[[Trial], Any] | None, options: dict[str, Any]) -> Plan:
    """The plan of a sweep of `task` with `options`, every option of `sweep()` by name; raises `InvalidInput`.

    Options that are None are taken from the preset, else from the search space, else they have their default.
    """
    for key, option in OF_THE_CALL.items():
        value = options[key]
        if key != "space":
            option.check(option.taken(str(value) if isinstance(value, Path) else value))
    preset, scale, space = options["preset"], options["scale"], options["space"]
    inherited: dict[str, Any] = {}
    if preset is not None:
        if task is not None or space is not None:
            raise InvalidInput(f"--preset {preset} names its task and space: give it alone")
        chosen = load_preset(preset)
        name, found = scaled(chosen.task, scale), chosen.space(scale)
        methods = chosen.methods if options["methods"] is None else options["methods"]
        inherited = {
            "methods": methods,
            "confirm_seeds": chosen.seeds,
            "precision": chosen.precision,
            "share_prefix": chosen.share_prefix and any(parse_method(method).ire for method in methods),
        }
        if options["curve"] is True:
            options["curve"] = chosen.curve
    elif task is None:
        raise InvalidInput("name a task (`ire tasks`) or a --preset (`ire presets`)")
    else:
        if not isinstance(task, str):
            if isinstance(task, type) or not callable(task):
                raise InvalidInput(
                    f"{task!r}: must be a task's name, as in 'my_tasks:MyTask', or a training function"
                )
            task = name_of(task)
        name = scaled(task, scale)
        found = _space(name, space)
    name, folder = located(name)
    found = replace(found, task=name)
    of_the_space = {
        "methods": found.methods,
        "trials": found.search.trials,
        "confirm_seeds": found.confirm_seeds,
        "candidates": found.candidates,
        "studies": found.studies,
        "name": f"{_short(name)}-{datetime.now():%Y%m%d-%H%M%S}",
    }
    planned: dict[str, Any] = {}
    for key, option in PLANNED.items():
        value = options[key]
        if value is None:
            value = inherited.get(key, of_the_space.get(key, option.default))
        planned[key] = option.taken(value)
    planned["external"] = _absolute(planned["external"])
    planned["warm_start"] = _absolute(planned["warm_start"])
    planned["data_dir"] = given_data_folder(planned["data_dir"])
    PLANNED["methods"].check(planned["methods"])
    planned["methods"] = named(planned["methods"])
    planned["baselines"] = planned["baselines"] or tuple(
        baseline for baseline in found.baselines if baseline in planned["methods"]
    )
    plan = Plan(task=name, rules=RULES, space=found, **planned)
    is_foreign = any(":" in method for method in plan.named_methods) or (":" in name and folder is None)
    import_path = ((folder,) if folder else ()) + ((os.getcwd(),) if is_foreign else ())
    plan = replace(plan, import_path=import_path)
    plan.check()
    return plan


def _space(task: str, given: object) -> Space:
    """The search space of a call; a file with a whole sweep provides it parsed."""
    if isinstance(given, Space):
        return given
    if is_mapping(given):
        search_beside(task)
        return parse_space(toml_text(given), task=task, source="space={...}")
    if given is None and is_of_no_file(task):
        raise InvalidInput(
            'a function that is not in a file needs a space: space={...} or space="train.toml"'
        )
    if not isinstance(given, str | Path | None):
        raise InvalidInput(f"--space {given!r}: must be the path of a space file, or a dictionary")
    return find_space(task, given)


def _absolute(location: str | None) -> str | None:
    """An absolute path, or a URI without credentials."""
    if location is None or is_uri(location):
        return location and without_credentials(location)
    return str(Path(location).resolve())


def _short(task: str) -> str:
    """The default name of an experiment, from its task: the last 48 characters of a long name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", task)[-48:].strip("-")
