"""An open experiment folder: its results as data frames, its verdict and its report."""

from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import fmean
from typing import Any

from ire.invalid_input import InvalidInput, unknown, writable
from ire.methods.foreign import shortened
from ire.sweeps.findings.results import Results
from ire.sweeps.findings.rows import Winner
from ire.sweeps.records.experiment_home import ExperimentHome
from ire.sweeps.records.open_home import home_at
from ire.sweeps.report import headline, write_report
from ire.sweeps.report.formats.notebook import as_fragment
from ire.sweeps.report.tables.verdict import result_table


@dataclass(frozen=True, repr=False)
class Experiment(Results):
    """The results of a folder, and the actions on them."""

    @property
    def verdict(self) -> str:
        """The result in one sentence: the headline of the report."""
        return headline(self)

    def best_settings(self, method: str) -> dict[str, Any]:
        """The settings that represent a method: those of the study with the best mean final validation.

        Raises `InvalidInput` for a method that is not part of the sweep, or has no finished trial yet.
        """
        names = {name: row for row in self.comparison.rows for name in (row.method, shortened(row.method))}
        if method not in names:
            raise unknown("method", method, self.plan.methods, where=self.plan.name)
        row = names[method]
        if not row.winners:
            raise InvalidInput(f"{self.plan.name}: no trial of {method} has finished yet")

        metric = self.comparison.metric

        def cost(winner: Winner) -> float:
            ends = [run.reports[-1].get(metric.name) for run in row.runs if run.study == winner.study]
            known = [metric.cost(end) for end in ends if end is not None]
            return fmean(known) if known else inf

        return dict(min(row.winners, key=cost).settings)

    def _repr_html_(self) -> str:
        return as_fragment(self.verdict, result_table(self), self.folder / "report" / "report.html")

    def __str__(self) -> str:
        return self.verdict

    def __repr__(self) -> str:
        return f"open_experiment({self.home.location!r})"

    def report(self, folder: str | Path | None = None) -> Path:
        """Write `report.html`, `report.md`, `report.json` and every figure; returns the path of the HTML page.

        They are written to `report/` of the experiment, or to another `folder`; raises `InvalidInput` if that cannot
        be written to.
        """
        with writable(Path(folder or self.folder / "report")):
            page = write_report(self, Path(folder) if folder else None)
        if folder is None:
            self.home.publish_outputs()
        return page


def open_experiment(location: str | Path | ExperimentHome, *, trust: bool = False) -> Experiment:
    """The experiment in a folder, or at the URI of an object store; raises `InvalidInput` if there is none.

    Modules of foreign methods are imported only if this user has run them before, or with `trust`.
    """
    home = location if isinstance(location, ExperimentHome) else home_at(location)
    return Experiment.opened(home, trust=trust)
