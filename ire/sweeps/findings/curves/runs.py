"""Reads curves of training runs: one row a report, in the forms in which others write and export them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ire.invalid_input import InvalidInput, unknown
from ire.sweeps.findings.curves.columns import (
    REQUIRED,
    ROLES,
    chosen_columns,
    flag_of,
    named_as,
    normal,
    read_metric,
)
from ire.sweeps.findings.curves.events import holds_events, read_events
from ire.sweeps.records.records import CONFIRM, CURVE
from ire.trial.metric import LOSS, Metric

Table = Any
"""A `pandas.DataFrame`: by pandas' own hints, what is selected from one may be of any type."""
Column = Any
"""A `pandas.Series`."""

WIDE = re.compile(r"(?P<run>.+) - (?P<metric>.+?)(?P<bound>__MIN|__MAX)?")
"""A column of a chart's export from Weights & Biases."""
SCALARS = re.compile(r"run-(?P<run>.+)-tag-.+")
"""The name of a file that TensorBoard's page exports."""
NUMBERED = re.compile(r"(.+?)[-_. /]*(?:seed|run|version)?[-_. /]*\d+")
"""A run's name that ends in a number: what stands before it is its arm."""

COPIED = 3
"""Reports from which on two equal curves are one run that was exported twice."""


@dataclass(frozen=True, kw_only=True)
class CurveRun:
    """One training run."""

    arm: str
    name: str
    seed: str | None
    study: str
    horizon: int
    """Steps over which its schedule was laid, as recorded or else its last step."""
    steps: np.ndarray
    """Of its reports (k,), rising."""
    losses: np.ndarray
    """Validation losses (k,), or the costs of another metric: lower is better."""
    gradients_per_step: float | None
    step_seconds: float | None

    @property
    def loss(self) -> float:
        """At its horizon, or one step before it, since some count from 0; infinity if it ended before."""
        for step in (self.horizon, self.horizon - 1) if self.horizon > 0 else ():
            at = np.flatnonzero(self.steps == step)
            if at.size:
                return float(self.losses[at[0]])
        return np.inf

    @property
    def is_whole(self) -> bool:
        """Whether it ended at its horizon with a number."""
        return bool(np.isfinite(self.loss))


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The runs of one or more files, and which roles their columns fill."""

    runs: list[CurveRun]
    columns: Mapping[str, str]
    copies: int = 0
    """Runs that were left out, because their whole curve is another's of their arm."""
    metric: Metric = LOSS

    @property
    def arms(self) -> list[str]:
        """In their order."""
        return list(dict.fromkeys(run.arm for run in self.runs))


def read_curves(
    paths: Sequence[str | Path],
    columns: Mapping[str, str | None] | None = None,
    *,
    metric: str | None = None,
    mode: str | None = None,
) -> Curves:
    """Read files of curves; `columns` names the column of a role (`ROLES`) where that is not found by its name.

    `metric` is what is compared instead of the validation loss, and `mode` says whether `min` or `max` is better.
    Raises `InvalidInput` that names the file, the column and, of a bad value, the row.
    """
    given = {role: (columns or {}).get(role) for role in ROLES}
    compared = read_metric(metric, mode, val_loss=given["val_loss"])
    given["val_loss"] = given["val_loss"] if metric is None else metric
    parts, found = [], {}
    for path in map(Path, paths):
        read = (
            read_events(path, named_from=path.parent if len(paths) > 1 else None)
            if holds_events(path)
            else None
        )
        table, named = _in_roles(_read(path) if read is None else read, given, path, compared)
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
    kept: dict[tuple, CurveRun] = {}
    for run in runs:
        own = run.name if len(run.steps) < COPIED else ""  # a few losses may be equal by rounding
        kept.setdefault((run.arm, run.study, own, run.steps.tobytes(), run.losses.tobytes()), run)
    return Curves(runs=list(kept.values()), columns=found, copies=len(runs) - len(kept), metric=compared)


def _one_after_another(rows: Table) -> list[Table]:
    """The runs in one log: each time the first step comes again, another one begins."""
    steps = rows["step"].to_numpy()
    begins = (steps == steps[0]) & (np.append(steps[0] + 1, steps[:-1]) > steps[0])
    return [part for _, part in rows.groupby(begins.cumsum(), sort=False)]


def _read(path: Path) -> Table:
    """A file as it is; text columns stay text, so that `nan` is told apart from a cell that is empty."""
    try:
        if path.suffix in (".parquet", ".pq"):
            return _parquet(path)
        (head,) = pd.read_csv(path, sep="\0", engine="python", nrows=0).columns
        separator = max((",", ";", "\t"), key=head.count)
        return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, na_values=[""])
    except FileNotFoundError as error:
        raise InvalidInput(f"{path}: there is no such file") from error
    except (OSError, ValueError, EOFError, ImportError) as error:
        cause = str(error).splitlines()[0]
        raise InvalidInput(
            f"{path}: cannot be read as CSV (.csv, .csv.xz, ...) or .parquet: {cause}"
        ) from error
    except Exception as error:  # lzma, zlib and arrow have exceptions of their own
        raise InvalidInput(
            f"{path}: is damaged or of another format: {type(error).__name__}: {error}"
        ) from error


def _parquet(path: Path) -> Table:
    """A Parquet file; NaN is spelled out, so that it is told apart from a value that is missing."""
    import pyarrow.compute as pc  # start-up stays light
    import pyarrow.parquet as pq
    from pyarrow.types import is_floating

    table = pq.read_table(path)
    frame = table.to_pandas()
    for name in table.column_names:
        if name in frame.columns and is_floating(table[name].type):
            lost = pc.is_nan(table[name]).fill_null(False).to_numpy()  # pyright: ignore[reportAttributeAccessIssue] - made at import
            if lost.any():
                frame[name] = frame[name].astype(object).mask(lost, "nan")
    return frame


def _in_roles(
    table: Table, given: Mapping[str, str | None], path: Path, metric: Metric
) -> tuple[Table, dict[str, str]]:
    """The table with a column for each role, and the columns that were found."""
    table.columns = [str(column).strip() for column in table.columns]
    table, is_other_form = _long(table, given["val_loss"], path, metric)
    given = {role: None if role == "val_loss" and is_other_form else column for role, column in given.items()}
    found = chosen_columns(list(table.columns), given, where=str(path), metric=metric)
    roles: Table = pd.DataFrame({role: table[column] for role, column in found.items()})
    for role in found:
        if role in ("step", "horizon", "gradients", "seconds", "val_loss"):
            roles[role] = _numbers(roles[role], found[role], path, role, metric)
        else:
            roles[role] = _labels(roles[role])
    if "arm" in roles and (missing := roles["arm"].isna() & roles["val_loss"].notna()).any():
        at = int(np.flatnonzero(missing)[0])
        raise InvalidInput(
            f"{path}: column {found['arm']!r}, row {at + 2}: is empty; --arm none names arms by their runs"
        )
    if "run" not in roles:
        scalars = SCALARS.fullmatch(path.stem)
        stem = scalars["run"] if scalars else path.name.split(".")[0]
        roles["run"] = "seed " + roles["seed"] if "seed" in roles else stem
    if "arm" not in roles:
        roles["arm"] = [m[1] if (m := NUMBERED.fullmatch(str(run))) else run for run in roles["run"]]
    for role in ("study", "arm", "run"):
        roles[role] = roles[role].fillna("") if role in roles else ""
    for role in ROLES:
        if role not in roles:
            roles[role] = None if role == "seed" else np.nan
    roles["file"] = str(path)
    return roles, found


def _long(table: Table, val_loss: str | None, path: Path, metric: Metric) -> tuple[Table, bool]:
    """One row a report, and whether the values are in a column that `val_loss` does not name.

    As the table is, or from a chart of Weights & Biases, or from TensorBoard's rows of tags.
    """
    flag = flag_of("val_loss", metric)
    names = {normal(column): column for column in table.columns}
    if {
        "trial",
        "arm",
        "stage",
        "variant",
    } <= names.keys():  # `ire export`: the search chooses and measures nothing
        return table[table[names["stage"]].isin((CONFIRM, CURVE))], False
    if "tag" in names and "value" in names:
        tags = list(dict.fromkeys(table[names["tag"]]))
        known = (named_as(name, tags) for name in ([val_loss] if val_loss else ROLES["val_loss"].names))
        wanted = next(filter(None, known), None)
        if wanted is None:
            raise unknown(f"tag for {flag}", val_loss or "val_loss", map(str, tags), where=str(path))
        return table[table[names["tag"]] == wanted].drop(columns=names["tag"]), True
    wide = {column: match for column in table.columns if (match := WIDE.fullmatch(column))}
    series = {column: match for column, match in wide.items() if not match["bound"]}
    if not series or len(wide) < len(table.columns) - 1:
        return table, False
    metrics = list(dict.fromkeys(match["metric"] for match in series.values()))
    chosen = named_as(val_loss, metrics) if val_loss else metrics[0]
    if chosen is None or (val_loss is None and len(metrics) > 1):
        raise unknown(f"metric for {flag}", val_loss or "", metrics, where=str(path))
    (step,) = [column for column in table.columns if column not in wide] or [None]
    if step is None:
        raise InvalidInput(f"{path}: has no column of steps beside those of the runs")
    return pd.concat(
        pd.DataFrame({"step": table[step], "run": match["run"], "val_loss": table[column]})
        for column, match in series.items()
        if match["metric"] == chosen
    ), True


def _labels(column: Column) -> Column:
    """A column as text, whole numbers without a point, empty cells None."""
    numbers: Column = pd.to_numeric(column, errors="coerce")
    whole = numbers.notna() & (numbers % 1 == 0)
    text = column.astype(str).str.strip().where(column.notna(), None)
    return text.where(~whole, numbers.where(whole, 0).astype(int).astype(str))


def _numbers(column: Column, name: str, path: Path, role: str, metric: Metric) -> Column:
    """A column as numbers, empty cells NaN; of what is compared costs, NaN and infinity, spelled out, are infinity."""
    numbers: Column = pd.to_numeric(column, errors="coerce")
    numbers = numbers.astype(float)
    spelled = column.astype(str).str.strip().str.lower().isin(("nan", "-nan", "inf", "-inf", "infinity"))
    bad = numbers.isna() & column.notna() & ~spelled
    if role == "val_loss":
        numbers = metric.cost(numbers).where(~(spelled & column.notna()), np.inf)
    else:
        bad |= spelled & column.notna()
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        remedy = "" if role in REQUIRED else f"; --{role} none leaves the column out"
        raise InvalidInput(f"{path}: column {name!r}, row {at + 2}: {column.iloc[at]!r} is no number{remedy}")
    return numbers


def _run(key: tuple, rows: Table, number: int) -> CurveRun:
    arm, study, name = key
    name = f"{name} ({number})" if number > 1 else name
    rows = rows.drop_duplicates(subset=["step", "val_loss"]).sort_values("step")
    where = f"{rows['file'].iloc[0]}: run {name!r} of {arm!r}"
    if rows["step"].isna().any() or (rows["step"] % 1 != 0).any() or (rows["step"] < 0).any():
        raise InvalidInput(f"{where}: every step must be a whole number of at least 0")
    if rows["step"].duplicated().any():
        step = rows["step"][rows["step"].duplicated()].iloc[0]
        raise InvalidInput(
            f"{where} has two losses at step {step:.0f}: --run names the column that tells runs apart"
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
