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
"""Two equal curves with at least this many different losses are one run that was exported twice."""


@dataclass(frozen=True, kw_only=True)
class CurveRun:
    """One training run."""

    arm: str
    name: str
    seed: str | None
    study: str
    horizon: int
    """Steps of its schedule if recorded, else its last step."""
    is_planned: bool
    """Whether its horizon is recorded."""
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
    """Number of runs left out because their whole curve is that of another run of their arm, or a part of it."""
    metric: Metric = LOSS

    @property
    def has_gradients(self) -> bool:
        """Whether the gradient evaluations of every run are known."""
        return all(run.gradients_per_step is not None for run in self.runs)

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
    if len(unnamed := table[table["study"] == ""]) not in (0, len(table)):
        row = unnamed.iloc[0]
        raise InvalidInput(
            f"{row['file']}: run {row['run']!r} of {row['arm']!r} has no study, other runs have one; fill in column "
            f"{found['study']!r}, or leave it out with --study none"
        )
    count, runs = 0, list[CurveRun]()
    is_named = not {"run", "seed"}.isdisjoint(found)
    for key, rows in table.groupby(["arm", "study", "run"], sort=False):
        of_one_name = [_run(key, part, n) for n, part in enumerate(_one_after_another(rows), start=1)]
        count += len(of_one_name)
        runs += _whole_ones(of_one_name, 1 if is_named else COPIED)
    kept: dict[tuple[str, tuple[str, ...], bytes, bytes], CurveRun] = {}
    for run in runs:
        # A few losses may be equal by rounding; runs that diverge or saturate at once are equal throughout.
        own = (run.study, run.name) if len(set(run.losses[np.isfinite(run.losses)])) < COPIED else ()
        kept.setdefault((run.arm, own, run.steps.tobytes(), run.losses.tobytes()), run)
    return Curves(runs=list(kept.values()), columns=found, copies=count - len(kept), metric=compared)


def _one_after_another(rows: Table) -> list[Table]:
    """The runs in one log; each return to the first step begins another run, unless the rows are in no order."""
    steps = rows["step"].to_numpy()
    begins = (steps == steps[0]) & (np.append(steps[0] + 1, steps[:-1]) > steps[0])
    falls = np.append(False, np.diff(steps) < 0) & ~begins
    if falls.any() and not rows.drop_duplicates(["step", "val_loss"])["step"].duplicated().any():
        return [rows]
    return [part for _, part in rows.groupby(begins.cumsum(), sort=False)]


def _whole_ones(runs: list[CurveRun], copied: int) -> list[CurveRun]:
    """Runs of one name without those whose reports, at least `copied`, are all reports of another: parts of it."""
    reports = [set(zip(run.steps.tolist(), run.losses.tolist(), strict=True)) for run in runs]
    return [
        run
        for i, run in enumerate(runs)
        if len(reports[i]) < copied
        or not any(
            reports[i] < other or (reports[i] == other and j < i) for j, other in enumerate(reports) if j != i
        )
    ]


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
    counted = rows[(rows["gradients"] > 0) & (rows["step"] > 0)]
    timed = rows[rows["seconds"].notna()]
    span = timed["step"].iloc[-1] - timed["step"].iloc[0] if len(timed) > 1 else 0
    return CurveRun(
        arm=arm,
        name=name,
        seed=seeds[0] if len(seeds) else None,
        study=study,
        horizon=int(horizons[0]) if len(horizons) else int(last["step"]),
        is_planned=len(horizons) > 0,
        steps=rows["step"].to_numpy(dtype=int),
        losses=rows["val_loss"].to_numpy(),
        gradients_per_step=float(counted["gradients"].iloc[-1] / counted["step"].iloc[-1])
        if len(counted)
        else None,
        step_seconds=float((timed["seconds"].iloc[-1] - timed["seconds"].iloc[0]) / span) if span else None,
    )
