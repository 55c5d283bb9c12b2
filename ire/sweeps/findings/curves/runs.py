"""The training runs in files of curves: their steps and losses, checked, each run once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs] - it has none

from ire.invalid_input import InvalidInput
from ire.sweeps.findings.curves.columns import ROLES, read_metric
from ire.sweeps.findings.curves.tables import Table, read_table
from ire.trial.metric import LOSS, Metric

COPIED = 3
"""Two equal curves with at least this many reports are one run that was exported twice."""


@dataclass(frozen=True, kw_only=True)
class CurveRun:
    """One training run."""

    arm: str
    name: str
    seed: str | None
    study: str
    horizon: int
    """Steps of its schedule if recorded, else its last step."""
    steps: np.ndarray
    """Steps of its reports (k,), rising."""
    losses: np.ndarray
    """Validation losses (k,), or the costs of another metric: lower is better."""
    gradients_per_step: float | None
    step_seconds: float | None

    @property
    def loss(self) -> float:
        """The loss at its horizon, or one step before, since some count from 0; infinity if it ended earlier."""
        for step in (self.horizon, self.horizon - 1) if self.horizon > 0 else ():
            at = np.flatnonzero(self.steps == step)
            if at.size:
                return float(self.losses[at[0]])
        return np.inf

    @property
    def is_whole(self) -> bool:
        """Whether it ended at its horizon with a finite loss."""
        return bool(np.isfinite(self.loss))


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The runs in one or more files, and the columns found for each role."""

    runs: list[CurveRun]
    columns: Mapping[str, str]
    copies: int = 0
    """Number of runs left out because their whole curve equals that of another run of their arm."""
    metric: Metric = LOSS

    @property
    def arms(self) -> list[str]:
        """The names of the arms, in order of appearance."""
        return list(dict.fromkeys(run.arm for run in self.runs))


def read_curves(
    paths: Sequence[str | Path],
    columns: Mapping[str, str | None] | None = None,
    *,
    metric: str | None = None,
    mode: str | None = None,
) -> Curves:
    """Read files of curves; `columns` names the columns of roles (`ROLES`) that are not found by name.

    `metric` is compared instead of the validation loss; `mode`, `min` or `max`, says which value is better. Raises
    `InvalidInput` with the file, the column and, for an invalid value, the row.
    """
    given = {role: (columns or {}).get(role) for role in ROLES}
    compared = read_metric(metric, mode, val_loss=given["val_loss"])
    given["val_loss"] = given["val_loss"] if metric is None else metric
    parts: list[Table] = []
    found: dict[str, str] = {}
    for path in map(Path, paths):
        table, named = read_table(path, given, compared, is_one_of_several=len(paths) > 1)
        found |= named
        parts.append(table)
    table: Table = pd.concat(parts, ignore_index=True)
    table = table[table["val_loss"].notna()]
    if table.empty:
        raise InvalidInput(f"{', '.join(map(str, paths))}: no row has a {compared.name}")
    runs = [
        _run(key, part, number)
        for key, rows in table.groupby(["arm", "study", "run"], sort=False)
        for number, part in enumerate(_one_after_another(rows), start=1)
    ]
    kept: dict[tuple[str, str, str, bytes, bytes], CurveRun] = {}
    for run in runs:
        own = run.name if len(run.steps) < COPIED else ""  # a few losses may be equal by rounding
        kept.setdefault((run.arm, run.study, own, run.steps.tobytes(), run.losses.tobytes()), run)
    return Curves(runs=list(kept.values()), columns=found, copies=len(runs) - len(kept), metric=compared)


def _one_after_another(rows: Table) -> list[Table]:
    """The runs in one log; each return to the first step begins another run."""
    steps = rows["step"].to_numpy()
    begins = (steps == steps[0]) & (np.append(steps[0] + 1, steps[:-1]) > steps[0])
    return [part for _, part in rows.groupby(begins.cumsum(), sort=False)]


def _run(key: tuple[str, str, str], rows: Table, number: int) -> CurveRun:
    arm, study, name = key
    name = f"{name} ({number})" if number > 1 else name
    rows = rows.drop_duplicates(subset=["step", "val_loss"]).sort_values("step")
    where = f"{rows['file'].iloc[0]}: run {name!r} of {arm!r}"
    if rows["step"].isna().any() or (rows["step"] % 1 != 0).any() or (rows["step"] < 0).any():
        raise InvalidInput(f"{where}: every step must be a whole number of at least 0")
    if rows["step"].duplicated().any():
        step = rows["step"][rows["step"].duplicated()].iloc[0]
        raise InvalidInput(
            f"{where} has two losses at step {step:.0f}: name the column that distinguishes runs with --run"
        )
    horizons, seeds = rows["horizon"].dropna().unique(), rows["seed"].dropna().unique()
    for role, values in (("horizon", horizons), ("seed", seeds)):
        if len(values) > 1:
            raise InvalidInput(f"{where} has several values of {role}: {', '.join(map(str, values))}")
    last = rows.iloc[-1]
    timed = rows[rows["seconds"].notna()]
    span = timed["step"].iloc[-1] - timed["step"].iloc[0] if len(timed) > 1 else 0
    return CurveRun(
        arm=arm,
        name=name,
        seed=seeds[0] if len(seeds) else None,
        study=study,
        horizon=int(horizons[0]) if len(horizons) else int(last["step"]),
        steps=rows["step"].to_numpy(dtype=int),
        losses=rows["val_loss"].to_numpy(),
        gradients_per_step=float(last["gradients"] / last["step"])
        if last["gradients"] > 0 and last["step"] > 0
        else None,
        step_seconds=float((timed["seconds"].iloc[-1] - timed["seconds"].iloc[0]) / span) if span else None,
    )
