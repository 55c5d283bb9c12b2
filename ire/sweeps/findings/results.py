"""The results of a sweep, from records that are read once: plan, trials, curves, winners and their comparison.

Reports are made from it. `ire.sweeps.experiments` adds the actions on a folder. pandas is imported when used.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Self

from ire.sweeps.findings.comparison import Comparison, compare
from ire.sweeps.findings.statistics.importance import importances
from ire.sweeps.plan.plan import Plan, plan_text, trusted_plan
from ire.sweeps.plan.trust import check_methods
from ire.sweeps.records.experiment_home import ExperimentHome
from ire.sweeps.records.records import Records, TrialRecord, read_records
from ire.sweeps.search.widening import widest
from ire.trial.report import value

if TYPE_CHECKING:
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs] - it has none


@dataclass(frozen=True)
class Results:
    """The content of an experiment folder when it was opened. Reading it never unpickles anything."""

    home: ExperimentHome
    plan: Plan
    plan_text: str = field(repr=False)
    """The text of its `sweep.toml`."""
    broken_off: str | None = None
    """Why the run that has just ended could not continue; None if it could."""
    read: Records | None = None
    """The records, if they have been read already."""

    @classmethod
    def opened(cls, home: ExperimentHome, *, trust: bool = False) -> Self:
        """What the folder holds; raises `InvalidInput` if it holds no plan, or one whose methods are not trusted."""
        text = plan_text(home.folder)
        return cls(home, trusted_plan(text, home.folder, trust=trust), text)

    @property
    def folder(self) -> Path:
        """The folder of its small files on this machine."""
        return self.home.folder

    @property
    def location(self) -> str:
        """Its folder, or its URI in an object store."""
        return self.home.location

    @cached_property
    def versions(self) -> dict[str, str]:
        """The versions that wrote the plan, at the start or when it was last extended."""
        return tomllib.loads(self.plan_text)["versions"]

    @cached_property
    def records(self) -> Records:
        records = self.read or read_records(self.folder)
        check_methods(records.trials.values(), self.plan.named_methods)
        return records

    @cached_property
    def comparison(self) -> Comparison:
        return compare(self.plan, self.records)

    @cached_property
    def importances(self) -> dict[str, dict[str, float] | None]:
        """The importance of each method's settings, in 0 to 1; None with too few finished trials."""
        return {
            row.method: importances(self.widest_plan, row.method, row.search) for row in self.comparison.rows
        }

    @cached_property
    def widest_plan(self) -> Plan:
        """The plan with the widest ranges that any of its studies searched."""
        return widest(self.plan, self.comparison.widenings)

    @property
    def is_complete(self) -> bool:
        """Whether every search and confirm trial has ended."""
        return self.comparison.is_complete

    @cached_property
    def trials(self) -> "pd.DataFrame":
        """One row per trial: stage, status, seed, settings (`settings.lr`, ...), cost and last values."""
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs] - it has none

        return pd.DataFrame([_trial_row(trial) for trial in self.records.trials.values()])

    @cached_property
    def curves(self) -> "pd.DataFrame":
        """One row per report: trial, method, stage, seed, step, costs, losses and metrics."""
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs] - it has none

        return pd.DataFrame(
            _identity(t) | report for t in self.records.trials.values() for report in t.reports
        )

    @cached_property
    def winners(self) -> "pd.DataFrame":
        """One row per method and study: its winner, and the mean of its confirm runs in that study."""
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs] - it has none

        rows: list[dict[str, Any]] = []
        for row in self.comparison.rows:
            for winner in row.winners:
                runs = [run.reports[-1] for run in row.runs if run.study == winner.study]
                names = [f"{split}_{name}" for name in self.comparison.metrics for split in ("val", "test")]
                means = {
                    f"confirm_{name}": fmean(value(end, name) for end in runs)
                    for name in names
                    if runs and all(end.get(name) is not None for end in runs)
                }
                settings = {f"settings.{name}": value for name, value in winner.settings.items()}
                rows.append(_trial_row(winner.trial) | settings | {"confirm_seeds": len(runs)} | means)
        return pd.DataFrame(rows)

    @property
    def elapsed_seconds(self) -> float:
        """Seconds from the start of the first trial to the end of the last, including idle time between resumes."""
        trials = self.records.trials.values()
        starts, ends = [t.started for t in trials if t.started], [t.ended for t in trials if t.ended]
        return (max(ends) - min(starts)).total_seconds() if ends else 0.0


def _trial_row(trial: TrialRecord) -> dict[str, Any]:
    last: Mapping[str, Any] = trial.reports[-1] if trial.reports else {}
    return {
        **_identity(trial),
        "status": trial.status,
        "horizon": trial.spec.horizon,
        "step": trial.step,
        "gradient_evaluations": trial.gradient_evaluations,
        "seconds": trial.seconds,
        **{f"settings.{name}": value for name, value in trial.spec.settings.items()},
        **{key: last.get(key) for key in last if key.startswith(("val_", "test_", "train_"))},
        "error": trial.error,
    }


def _identity(trial: TrialRecord) -> dict[str, Any]:
    return {
        "trial": trial.name,
        "arm": trial.arm,
        "method": trial.method,
        "stage": trial.stage,
        "variant": trial.variant,
        "study": trial.study,
        "number": trial.number,
        "seed": trial.spec.seed,
    }
