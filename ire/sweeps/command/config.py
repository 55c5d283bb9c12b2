"""Options from a file: flags typed after `ire sweep CONFIG.toml` override those in the file."""

from collections.abc import Mapping
from typing import Any

from typer import Context

from ire.sweeps.command.flags import flags_of
from ire.sweeps.plan.option import Option

SUFFIX = ".toml"


def is_config(task: str | None) -> bool:
    """Whether the argument of `ire sweep` names a file rather than a task."""
    return task is not None and task.endswith(SUFFIX)


def given(context: Context, options: Mapping[str, Option]) -> set[str]:
    """The names of the options that were typed rather than left at their defaults."""
    sources = {
        name: [context.get_parameter_source(flag) for flag in flags_of(option)]
        for name, option in options.items()
    }
    return {
        name
        for name, found in sources.items()
        if any(s is not None and s.name == "COMMANDLINE" for s in found)
    }


def from_file(
    path: str, options: Mapping[str, Any], typed: set[str], *, trust: bool
) -> tuple[str | None, dict[str, Any]]:
    """The task and the options of a call: those in the file at `path`, overridden by the typed ones."""
    from ire.sweeps.plan.config import read_config  # imports numpy, which most commands do not need

    found = read_config(path, trust=trust)
    task = found.pop("task", None)
    return task, {**options, **found, **{name: options[name] for name in typed}}
