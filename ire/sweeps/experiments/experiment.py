"""An experiment folder, opened: its results as data frames, its report, its export."""

from dataclasses import dataclass
from pathlib import Path

from ire.invalid_input import writable
from ire.sweeps.findings.results import Results
from ire.sweeps.plan.plan import read_plan
from ire.sweeps.records.experiment_home import ExperimentHome, home_at
from ire.sweeps.report import write_report


@dataclass(frozen=True)
class Experiment(Results):
    """The results of a folder, and what can be done with them."""

    def report(self, folder: Path | None = None) -> Path:
        """Write `report.html`, `report.md`, `report.json` and every figure; returns the path of the HTML page.

        They go into `report/` of the experiment, or into another `folder`; raises `InvalidInput` if that cannot be
        written to.
        """
        with writable(folder or self.folder / "report"):
            page = write_report(self, folder)
        if folder is None:
            self.home.publish_outputs()
        return page


def open_experiment(location: str | Path | ExperimentHome, *, trust: bool = False) -> Experiment:
    """The experiment in a folder, or at the URI of an object store; raises `InvalidInput` if there is none.

    Modules of foreign methods are imported only if this user has run them before, or with `trust`.
    """
    home = location if isinstance(location, ExperimentHome) else home_at(location)
    return Experiment(home, read_plan(home.folder, trust=trust))
