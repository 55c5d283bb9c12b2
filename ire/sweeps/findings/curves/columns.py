"""The roles of the columns in a table of curves, and how they are found: by recognised names or the user's."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ire.invalid_input import InvalidInput, unknown
from ire.trial.metric import LOSS, MODES, Metric


@dataclass(frozen=True, kw_only=True)
class Role:
    """One role of a column."""

    help: str
    names: tuple[str, ...]
    """Recognised names, in lower case with `_` for everything but letters and digits."""


ROLES = {
    "arm": Role(
        help="the arm, i.e. the compared variant (an optimizer, an architecture, a data mix); default: arms are the "
        "runs' names without their numbers",
        names=("arm", "method", "optimizer", "group", "result"),
    ),
    "run": Role(
        help="the name of the run within its arm; default: the seed, else the file's name",
        names=("run", "run_id", "run_name", "trial", "name", "id"),
    ),
    "seed": Role(
        help="the seed; runs of two arms with the same seed have the same initialisation and batches",
        names=("seed",),
    ),
    "study": Role(
        help="the study, i.e. the search whose winner the run confirms; with three or more studies the verdict is "
        "about methods",
        names=("study",),
    ),
    "step": Role(
        help="the optimizer step", names=("step", "_step", "global_step", "trainer_global_step", "iteration")
    ),
    "horizon": Role(
        help="the number of steps of the run's schedule; default: its last step",
        names=("horizon", "of", "max_steps", "total_steps"),
    ),
    "gradients": Role(
        help="the gradient evaluations since the run's start", names=("gradients", "gradient_evaluations")
    ),
    "seconds": Role(
        help="the time in seconds, with any origin",
        names=("seconds", "_runtime", "wall_time", "relative_time_process", "_timestamp"),
    ),
    "val_loss": Role(
        help="the validation loss",
        names=(
            *("val_loss", "loss_val_loss", "validation_loss", "valid_loss", "eval_loss", "val", "loss_val"),
            "value",
        ),
    ),
}
"""All roles; `step` and `val_loss` are required."""
REQUIRED = ("step", "val_loss")
NONE = "none"
"""The name that a user gives for a role without a column."""


def normal(name: str) -> str:
    """`trainer/global_step` and `Wall time` as `trainer_global_step` and `wall_time`."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()) if name else name


def read_metric(name: str | None, mode: str | None, *, val_loss: str | None) -> Metric:
    """The metric of `--metric` and `--mode`, by default the validation loss; raises `InvalidInput`."""
    if name is None:
        if mode not in (None, "min"):
            raise InvalidInput(f"--mode {mode}: also name the metric, as in --metric val_accuracy --mode max")
        return LOSS
    if val_loss is not None:
        raise InvalidInput(
            f"--metric {name} --val-loss {val_loss}: both name the compared metric; give one of them"
        )
    is_loss = normal(name) in ROLES["val_loss"].names
    if mode is None and not is_loss:
        raise InvalidInput(f"--metric {name}: add --mode max if higher is better, else --mode min")
    if mode is not None and mode not in MODES:
        raise InvalidInput(f"--mode {mode}: must be one of {', '.join(MODES)}")
    return Metric(name=name, mode=mode or "min")


def flag_of(role: str, metric: Metric) -> str:
    """The option that names the column of a role."""
    return "--metric" if role == "val_loss" and not metric.is_loss else f"--{role.replace('_', '-')}"


def named_as(name: str, there: Sequence[str]) -> str | None:
    """The entry of `there` that equals `name`, at least apart from case and separators; None if none does."""
    return name if name in there else next((each for each in there if normal(each) == normal(name)), None)


def chosen_columns(
    columns: Sequence[str], given: Mapping[str, str | None], *, where: str, metric: Metric = LOSS
) -> dict[str, str]:
    """The column of each role: the `given` one (or `none`), else one with a recognised name; raises `InvalidInput`."""
    by_name = {normal(column): column for column in reversed(columns)}
    found: dict[str, str] = {}
    for role, column in given.items():
        if column is None:
            column = next((by_name[name] for name in ROLES[role].names if name in by_name), None)
        elif column == NONE and NONE not in columns:
            column = None
        else:
            named = named_as(column, columns)
            if named is None:
                raise unknown(f"column for {flag_of(role, metric)}", column, columns, where=where)
            column = named
        if column is not None:
            found[role] = column
    for role in REQUIRED:
        if role not in found:
            error = unknown(f"column for {role}", role, columns, where=where)
            raise InvalidInput(f"{error}; name it with {flag_of(role, metric)}")
    return found
