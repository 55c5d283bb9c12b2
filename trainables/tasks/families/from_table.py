"""Makes the tasks that are a network and a few numbers from `trainables/tasks/tasks.toml`."""

import importlib
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

from trainables.task import Task


@cache
def tables() -> dict[str, dict[str, Any]]:
    """The numbers of each task, by its name."""
    path = Path(__file__).parents[1] / "tasks.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


@cache
def task_class(name: str) -> type[Task]:
    """The class of a task in the table: its family, with these numbers as attributes."""
    numbers = {key: value for key, value in tables()[name].items() if key not in ("family", "network")}
    family = _named("trainables.tasks.families", tables()[name]["family"])
    network = dict(tables()[name].get("network", {}))
    if network:
        model = network.pop("model")
        arguments = ("classes", *network)

        def build(self: Task) -> nn.Module:
            return _named("trainables.models", model)(**{key: getattr(self, key) for key in arguments})

        numbers |= network | {"network": build}
    numbers["tiny"] = {**family.tiny, **numbers.get("tiny", {})}
    own = {"name": name, "__doc__": family.__doc__, "__module__": __name__}  # otherwise it would be abc's
    return type(family.__name__, (family,), numbers | own)


def _named(package: str, path: str) -> Any:
    """`module.name` in a package, imported now: some models need optional packages."""
    module, _, name = path.partition(".")
    return getattr(importlib.import_module(f"{package}.{module}"), name)
