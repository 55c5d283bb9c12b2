"""The verdict on runs of another scheduler, from their curves, which `ire verdict` prints."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ire.invalid_input import unknown, writable
from ire.sweeps.findings.curves.columns import ROLES
from ire.sweeps.findings.curves.comparison import CurvesComparison, compare_curves
from ire.sweeps.findings.curves.runs import read_curves
from ire.sweeps.report.curves.files import write_curves_report
from ire.sweeps.report.curves.sentences import curves_headline
from ire.sweeps.report.curves.tables import curves_tables
from ire.sweeps.report.formats.notebook import as_fragment


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict on curves, as far as curves allow one."""

    comparison: CurvesComparison

    def __str__(self) -> str:
        return curves_headline(self.comparison)

    def _repr_html_(self) -> str:
        return as_fragment(str(self), curves_tables(self.comparison)[0])

    def report(self, folder: str | Path = "report") -> Path:
        """Write `report.html`, `report.md`, `report.json` and the figures; returns the path of the HTML page."""
        with writable(Path(folder)):
            return write_curves_report(self.comparison, Path(folder))


def verdict(
    curves: str | Path | Sequence[str | Path],
    *,
    baseline: str | Sequence[str] = (),
    metric: str | None = None,
    mode: str | None = None,
    clock: str | None = None,
    **columns: str | None,
) -> Verdict:
    """Compare the runs in one or more tables of curves by the rules of a sweep's report.

    `curves` are CSV files, compressed or not, JSON or Parquet files, with one row per report, or folders of
    TensorBoard's event files. Columns are found by their names, or named here, as in `arm="optimizer", run="id"`.
    Exports of Weights & Biases and TensorBoard are supported (docs/verdict.md). `baseline` names the baseline
    arms, by default `baseline`. `metric` is compared instead of the validation loss; `mode`, `min` or `max`, says
    which value is better. `clock` is the clock of the headline, `step` or `gradient_evaluations`.

    Raises `InvalidInput` for files that cannot be read, and runs that cannot be distinguished.
    """
    for name in columns:
        if name not in ROLES:
            raise unknown("column of verdict()", name, ROLES)
    paths = [curves] if isinstance(curves, str | Path) else list(curves)
    read = read_curves(paths, columns, metric=metric, mode=mode)
    baselines = [baseline] if isinstance(baseline, str) else list(baseline)
    return Verdict(comparison=compare_curves(read, baselines=baselines, clock=clock))
