"""Chooses between settings after the search, and measures the chosen ones, on two separate kinds of seeds.

Several entries first compete on the selection seeds, and the entry with the best mean is chosen; it then runs on the
confirm seeds. Runs that choose are never used for measuring, since the best of several noisy means looks better than it
is.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

from ire.sweeps.plan.plan import SELECTION_SEEDS, Plan
from ire.sweeps.records.records import FINISHED, RUNNING, SELECT, TrialRecord


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Settings that compete."""

    method: str
    settings: Mapping[str, Any]
    origin: int
    """The number of the search trial that they come from."""
    variant: str = ""


Runs = Mapping[tuple[str, str, int | None], list[TrialRecord]]
"""The runs of one arm after its search, by stage, variant and search trial, each list in order of number."""


def at_rate(settings: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """The settings with the learning rate times `factor`; with a factor of 1 they need not have one."""
    return dict(settings) if factor == 1 else {**settings, "lr": settings["lr"] * factor}


class SeedContest:
    """Entries of one arm that compete for one place, and their runs; a snapshot of the records."""

    def __init__(
        self,
        plan: Plan,
        arm: str,
        stage: str,
        entries: Sequence[Entry],
        runs: Runs,
        *,
        horizon_factor: float = 1.0,
        flatness: bool = False,
        name: str = "",
    ) -> None:
        """`name` identifies the contest within a stage that has several."""
        self.arm, self.stage, self.entries, self.horizon_factor = arm, stage, list(entries), horizon_factor
        self.name = name
        self._plan, self._flatness, self._runs = plan, flatness, runs

    def runs(self, entry: Entry, stage: str) -> list[TrialRecord]:
        """The runs of an entry in a stage, `select` or the contest's own, by seed."""
        return self._runs.get((stage, entry.variant, entry.origin), [])

    @cached_property
    def chosen(self) -> Entry | None:
        """The entry that is measured: the only one, or the best once all selection runs have ended.

        An entry that lost a run to divergence or an error is chosen only if all others lost one as well.
        """
        if len(self.entries) == 1:
            return self.entries[0]
        means: list[float] = []
        for entry in self.entries:
            runs = self.runs(entry, SELECT)
            if len(runs) < SELECTION_SEEDS or any(run.status == RUNNING for run in runs):
                return None
            lost = any(run.status != FINISHED for run in runs)
            by = self._plan.space.selects
            means.append(math.inf if lost else fmean(by.cost(run.final(by.name)) for run in runs))
        return self.entries[means.index(min(means))]

    @property
    def selecting(self) -> list[TrialRecord]:
        """The selection runs that have started."""
        return [run for entry in self.entries for run in self.runs(entry, SELECT)]

    @property
    def measured(self) -> list[TrialRecord]:
        """The runs of the chosen entry, by seed."""
        return self.runs(self.chosen, self.stage) if self.chosen else []

    @property
    def is_over(self) -> bool:
        """Whether every run has ended."""
        runs = self.measured
        return len(runs) == self._plan.confirm_seeds and all(run.status != RUNNING for run in runs)

    def next_trial(self) -> TrialRecord | None:
        """The next run to start; None if all have started, or the others must end first."""
        if len(self.entries) > 1:
            for number in range(SELECTION_SEEDS):
                for entry in self.entries:
                    if len(self.runs(entry, SELECT)) == number:
                        return self._trial(entry, SELECT, number)
        if self.chosen is None or len(self.measured) >= self._plan.confirm_seeds:
            return None
        return self._trial(self.chosen, self.stage, len(self.measured))

    def _trial(self, entry: Entry, stage: str, number: int) -> TrialRecord:
        parts = (self._plan.method(self.arm).slug, stage, entry.variant, f"{entry.origin:04d}", str(number))
        spec = self._plan.later_trial(
            "-".join(part for part in parts if part),
            entry.method,
            number,
            dict(entry.settings),
            selects=stage == SELECT,
            horizon_factor=self.horizon_factor,
            flatness=self._flatness and stage != SELECT,
        )
        return TrialRecord(
            spec=spec,
            stage=stage,
            number=number,
            arm=self.arm,
            origin=entry.origin,
            variant=entry.variant,
        )
