"""An experiment folder, opened: its results as data frames, its report, its export."""

from dataclasses import dataclass
from pathlib import Path

from ire.sweeps.findings.results import Results
from ire.sweeps.plan.plan import read_plan
from ire.sweeps.records.experiment_home import Home, home_at
from ire.sweeps.report import write_report


@dataclass(frozen=True)
class Experiment(Results):
    """The results of a folder, and what can be done with them."""

    def report(self) -> Path:
        """Write `report/report.html`, `report.md` and `report.json`; returns the path of the HTML page."""
        page = write_report(self)
        self.home.publish_outputs()
        return page


def open_experiment(location: str | Path | Home) -> Experiment:
    """The experiment in a folder, or at the URI of an object store; raises `InvalidInput` if it is none."""
    home = location if isinstance(location, Home) else home_at(location)
    return Experiment(home, read_plan(home.folder))
