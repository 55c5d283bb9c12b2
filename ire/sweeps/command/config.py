"""Flags over a file: what was typed behind `ire sweep CONFIG.toml` counts more than what the file says."""

from collections.abc import Mapping
from typing import Any

from typer import Context

from ire.sweeps.command.flags import flags_of
from ire.sweeps.plan.option import Option

SUFFIX = ".toml"


def is_config(task: str | None) -> bool:
    """Whether what stands behind `ire sweep` names a file and not a task."""
    return task is not None and task.endswith(SUFFIX)


def given(context: Context, options: Mapping[str, Option]) -> set[str]:
    """The options that were typed, and not left at their defaults."""
    sources = {
        name: [context.get_parameter_source(flag) for flag in flags_of(option)]
        for name, option in options.items()
    }
    return {
        name
        for name, found in sources.items()
        if any(s is not None and s.name == "COMMANDLINE" for s in found)
    }


def from_file(path: str, options: Mapping[str, Any], typed: set[str]) -> tuple[str | None, dict[str, Any]]:
    """The task and the options of a call: those of the file at `path`, with those that were typed in their place."""
    from ire.sweeps.plan.config import read_config  # brings numpy, which most commands do without

    found = read_config(path)
    task = found.pop("task", None)
    return task, {**options, **found, **{name: options[name] for name in typed}}
