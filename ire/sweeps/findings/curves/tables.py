"""Reads a file of curves as a table with one row per report and one column per role, whatever tool wrote the file.

The forms are CSV, JSON and Parquet, exports of `ire export`, of a chart in Weights & Biases, and of TensorBoard's page,
and folders of TensorBoard's event files.
"""

import csv
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs] - it has none

from ire.invalid_input import InvalidInput, unknown
from ire.sweeps.findings.curves.columns import REQUIRED, ROLES, chosen_columns, flag_of, named_as, normal
from ire.sweeps.findings.curves.events import holds_events, read_events, refuse_a_sweep
from ire.sweeps.records.records import CONFIRM, CURVE
from ire.trial.metric import Metric

Table = Any
"""A `pandas.DataFrame`; by pandas' own type hints, a selection from one may have any type."""
Column = Any
"""A `pandas.Series`."""

WIDE = re.compile(r"(?P<run>.+) - (?P<metric>.+?)(?P<bound>__MIN|__MAX)?")
"""A column of a chart's export from Weights & Biases."""
SCALARS = re.compile(r"run-(?P<run>.+)-tag-.+")
"""The name of a file that TensorBoard's page exports."""
NUMBERED = re.compile(r"(.+?)[-_. /]*(?:seed|run|version)?[-_. /]*\d+")
"""A run's name that ends in a number; the part before it is its arm."""


def read_table(
    path: Path, given: Mapping[str, str | None], metric: Metric, *, is_one_of_several: bool
) -> tuple[Table, dict[str, str]]:
    """A table with one report per row and one column per role (`ROLES`), and the columns of the file found by role.

    The column `val_loss` has the costs of `metric`; `given` names columns by role. The runs of a folder that
    `is_one_of_several` are named relative to its parent. Raises `InvalidInput`.
    """
    if holds_events(path):
        table = read_events(path, named_from=path.parent if is_one_of_several else None)
    else:
        if path.suffix == ".jsonl":  # its records; an exported table may be in any folder
            refuse_a_sweep([path.parent])
        table = _read(path)
    return _in_roles(table, given, path, metric)


def _read(path: Path) -> Table:
    """The content of a file; text columns stay text, which distinguishes `nan` from an empty cell."""
    try:
        if path.suffix in (".parquet", ".pq"):
            return _parquet(path)
        if path.suffix in (".json", ".jsonl"):
            return _json(path)
        (head,) = pd.read_csv(path, sep="\0", engine="python", quoting=csv.QUOTE_NONE, nrows=0).columns
        separator = max((",", ";", "\t"), key=head.count)
        return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, na_values=[""])
    except FileNotFoundError as error:
        raise InvalidInput(f"{path}: there is no such file") from error
    except (OSError, ValueError, EOFError, ImportError) as error:
        cause = str(error).splitlines()[0]
        raise InvalidInput(
            f"{path}: cannot be read as CSV (.csv, .csv.xz, ...), .json, .jsonl or .parquet: {cause}"
        ) from error
    except Exception as error:  # lzma, zlib and arrow have exceptions of their own
        raise InvalidInput(
            f"{path}: the file is damaged or has another format: {type(error).__name__}: {error}"
        ) from error


def _json(path: Path) -> Table:
    """The content of a file of JSON: a list of objects, lists by column, or an object per line.

    NaN and Infinity stay text, which distinguishes them from null.
    """
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return pd.DataFrame(json.loads(text, parse_constant=str))
    return pd.DataFrame([json.loads(each, parse_constant=str) for each in text.split("\n") if each.strip()])


def _parquet(path: Path) -> Table:
    """The content of a Parquet file; NaN becomes the text `nan`, which distinguishes it from a missing value."""
    parquet, compute, types = _pyarrow()
    table = parquet.read_table(path)
    frame: Table = table.to_pandas()
    for name in table.column_names:
        if name in frame.columns and types.is_floating(table[name].type):
            lost = compute.is_nan(table[name]).fill_null(False).to_numpy()
            if lost.any():
                frame[name] = frame[name].astype(object).mask(lost, "nan")
    return frame


def _pyarrow() -> tuple[Any, Any, Any]:
    """Its modules, which have no types."""
    # slow to load, and CSV files do without
    from pyarrow import compute, parquet, types  # pyright: ignore[reportMissingTypeStubs]

    return parquet, compute, types


def _in_roles(
    table: Table, given: Mapping[str, str | None], path: Path, metric: Metric
) -> tuple[Table, dict[str, str]]:
    """The table with one column per role, and the columns found by role."""
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
            f"{path}: column {found['arm']!r}, row {at + 2}: the cell is empty; --arm none names arms by their runs"
        )
    if "run" not in roles:
        scalars = SCALARS.fullmatch(path.stem)
        stem = scalars["run"] if scalars else path.name.split(".")[0]
        roles["run"] = "seed " + roles["seed"] if "seed" in roles else stem
        if "horizon" in roles:
            at = roles["horizon"].map("{:g} steps".format).where(roles["horizon"].notna(), "its last step")
            roles["run"] += ", " + at
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
    """A table with one report per row, and whether its values are in a column that `val_loss` does not name.

    The given table is in that form, or a chart of Weights & Biases, or TensorBoard's rows of tags.
    """
    flag = flag_of("val_loss", metric)
    names = {normal(column): column for column in table.columns}
    if {
        "trial",
        "arm",
        "stage",
        "variant",
    } <= names.keys():  # `ire export`: the search chooses and measures nothing
        table = table[table[names["stage"]].isin((CONFIRM, CURVE))]
        if "study" in names:  # each sweep numbers its own from 1
            table = table.assign(**{names["study"]: f"{path}, study " + table[names["study"]].astype(str)})
        return table, False
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
    names = [val_loss] if val_loss else metrics if len(metrics) == 1 else ROLES["val_loss"].names
    chosen = next(filter(None, (named_as(name, metrics) for name in names)), None)
    if chosen is None:
        raise unknown(f"metric for {flag}", val_loss or "val_loss", metrics, where=str(path))
    (step,) = [column for column in table.columns if column not in wide] or [None]
    if step is None:
        raise InvalidInput(f"{path}: the file has no column of steps beside those of the runs")
    return pd.concat(
        pd.DataFrame({"step": table[step], "run": match["run"], "val_loss": table[column]})
        for column, match in series.items()
        if match["metric"] == chosen
    ), True


def _labels(column: Column) -> Column:
    """A column as text: whole numbers without a decimal point, empty cells as None."""
    text = column.astype(str).str.strip().str.replace(r"^(-?\d+)\.0*$", r"\1", regex=True)
    return text.where(column.notna(), None)


def _numbers(column: Column, name: str, path: Path, role: str, metric: Metric) -> Column:
    """A column as numbers, empty cells as NaN; the compared metric as costs, where a written NaN or inf is infinity."""
    numbers = _parsed(column).astype(float)
    spelled = column.astype(str).str.strip().str.lower().isin(("nan", "-nan", "inf", "-inf", "infinity"))
    bad = numbers.isna() & column.notna() & ~spelled
    if role == "val_loss":
        numbers = metric.cost(numbers).where(~(spelled & column.notna()), np.inf)
    else:
        bad |= spelled & column.notna()
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        remedy = "" if role in REQUIRED else f"; --{role} none leaves the column out"
        raise InvalidInput(
            f"{path}: column {name!r}, row {at + 2}: {column.iloc[at]!r} is not a number{remedy}"
        )
    return numbers


def _parsed(column: Column) -> Column:
    """A column as numbers of any type; NaN for what is no number."""
    return pd.to_numeric(column, errors="coerce")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
