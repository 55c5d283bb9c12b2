"""Which column of a table of curves holds what: the names that are understood, and those that the user gives."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ire.invalid_input import InvalidInput, unknown


@dataclass(frozen=True, kw_only=True)
class Role:
    """One thing that a column may hold."""

    help: str
    names: tuple[str, ...]
    """Names by which it is found, in lower case with `_` for everything but letters and digits."""


ROLES = {
    "arm": Role(
        help="what is compared: an optimizer, an architecture, a data mix; default: the run's name without its number",
        names=("arm", "method", "optimizer", "group", "result"),
    ),
    "run": Role(
        help="tells the runs of an arm apart; default: the seed, else the file's name",
        names=("run", "run_id", "run_name", "trial", "name", "id"),
    ),
    "seed": Role(
        help="runs of two arms with one seed have the same initialisation and batches", names=("seed",)
    ),
    "study": Role(
        help="which whole search, with its winners' runs, a run belongs to; three or more give a verdict on methods",
        names=("study",),
    ),
    "step": Role(
        help="optimizer steps", names=("step", "_step", "global_step", "trainer_global_step", "iteration")
    ),
    "horizon": Role(
        help="steps over which the run's schedule was laid; default: its last step",
        names=("horizon", "of", "max_steps", "total_steps"),
    ),
    "gradients": Role(
        help="gradient evaluations since the run's start", names=("gradients", "gradient_evaluations")
    ),
    "seconds": Role(
        help="seconds, counted from anywhere",
        names=("seconds", "_runtime", "wall_time", "relative_time_process", "_timestamp"),
    ),
    "val_loss": Role(
        help="validation loss",
        names=(
            *("val_loss", "loss_val_loss", "validation_loss", "valid_loss", "eval_loss", "val", "loss_val"),
            "value",
        ),
    ),
}
"""Everything that is read; `step` and `val_loss` must be there."""
REQUIRED = ("step", "val_loss")
NONE = "none"
"""Given for a role: no column holds it, whatever the columns are called."""


def normal(name: str) -> str:
    """`trainer/global_step` and `Wall time` as `trainer_global_step` and `wall_time`."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()) if name else name


def chosen_columns(columns: Sequence[str], given: Mapping[str, str | None], *, where: str) -> dict[str, str]:
    """By role: the column that holds it, as `given` (or `none`), or by its name; raises `InvalidInput`."""
    by_name = {normal(column): column for column in reversed(columns)}
    found: dict[str, str] = {}
    for role, column in given.items():
        if column is None:
            column = next((by_name[name] for name in ROLES[role].names if name in by_name), None)
        elif column == NONE and NONE not in columns:
            column = None
        elif column not in columns:
            raise unknown(f"column for --{role.replace('_', '-')}", column, columns, where=where)
        if column is not None:
            found[role] = column
    for role in REQUIRED:
        if role not in found:
            error = unknown(f"column for {role}", role, columns, where=where)
            raise InvalidInput(f"{error}; name it with --{role.replace('_', '-')}")
    return found
