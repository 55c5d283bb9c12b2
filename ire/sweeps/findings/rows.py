"""One row per method: its runs, and how they compare with the baselines and with its own controls."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any

from ire.sweeps.findings.differences import Difference
from ire.sweeps.findings.null_model import NullModel
from ire.sweeps.findings.power import Power
from ire.sweeps.findings.statistics.verdict import Judgement, Ratio, SpeedUp
from ire.sweeps.findings.yardstick import Against
from ire.sweeps.records.records import FINISHED, TrialRecord
from ire.sweeps.search.range_ends import Edge
from ire.sweeps.search.stages import PUBLISHED
from ire.trial.report import value

MIN_FULL = 2
"""Minimum number of finished trials in a search."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Runs of one method or control on the confirm seeds of every study, and how they compare with the baselines."""

    runs: list[TrialRecord]
    """The finished runs, by study and seed."""
    lost: int = 0
    """Number of runs that diverged or failed; no verdict may rest on the other runs alone."""
    speed_ups: Mapping[str, SpeedUp] = field(default_factory=dict[str, SpeedUp])
    """By clock, over the hardest baseline on that clock; empty without a baseline curve or a common seed."""
    against: Mapping[str, str] = field(default_factory=dict[str, str])
    """That baseline, by clock."""

    def without(self, name: str) -> int:
        """Number of runs whose last value of that name is missing or not finite."""
        return sum(run.reports[-1].get(name) is None for run in self.runs)

    def metric(self, name: str) -> tuple[float, float | None] | None:
        """Mean and standard deviation (None of a single run) of a value in the last reports; None if no run has it."""
        values = [end for run in self.runs if (end := value(run.reports[-1], name)) is not None]
        if not values:
            return None
        return mean(values), stdev(values) if len(values) > 1 else None


@dataclass(frozen=True, kw_only=True)
class Control(Measured):
    """One control of a method, or its published settings."""

    name: str
    against_method: Difference | None
    """The method's final value minus the control's: the effect of what the control lacks."""
    is_tuned: bool = False
    """Whether its strength was tuned, with as many points as the last step of the method's tuning."""


@dataclass(frozen=True, kw_only=True)
class Winner:
    """The settings that represent a method in one study."""

    study: int
    trial: TrialRecord
    settings: Mapping[str, Any]
    is_published: bool
    """Whether they are the published settings."""


@dataclass(frozen=True, kw_only=True)
class Row(Measured):
    """One method's results; None or empty if not available yet."""

    method: str
    is_baseline: bool
    winners: list[Winner]
    """One per study."""
    search: list[TrialRecord]
    """The search trials of all studies."""
    statuses: dict[str, int]
    """Number of search trials by status."""
    spent: int
    """Gradient evaluations of all searches."""
    training_seconds: float
    """Total training seconds of all search trials."""
    confirm_statuses: dict[str, int]
    edges: list[Edge]
    """Ranges at whose ends the winners of more than half of the studies lie."""
    optimizer_share: float | None = None
    """The optimizer's share of the step time in the quiet pass, in 0 to 1; None if unknown."""
    is_searched: bool = True
    """Whether the method was searched; otherwise its settings are fixed in the space file."""
    over: Against = field(default_factory=Against)
    """Speed-ups over every baseline."""
    judgements: Mapping[str, Judgement] = field(default_factory=dict[str, Judgement])
    """By clock, corrected for the number of methods; empty without a curve, or with fewer than three studies."""
    powers: Mapping[str, Power] = field(default_factory=dict[str, Power])
    """Detectable speed-ups, by clock."""
    validation_speed_ups: Mapping[str, SpeedUp] = field(default_factory=dict[str, SpeedUp])
    """As `speed_ups`, from the validation losses by which settings were chosen."""
    time_to_target: Mapping[str, SpeedUp] = field(default_factory=dict[str, SpeedUp])
    best_run: Mapping[str, Ratio] = field(default_factory=dict[str, Ratio])
    """Time to target of the first search's best run against the baseline's best run: the ratio in the literature."""
    against_best: Difference | None = None
    """Difference to the best baseline."""
    against_base: Difference | None = None
    """Difference to the method without IRE, tuned on its own."""
    controls: list[Control] = field(default_factory=list[Control])
    null_model: NullModel | None = None
    """Predicted results of its controls if only the mean step length mattered; None with too few controls."""
    unsettled: list[str] = field(default_factory=list[str])
    """Controls without a result: some of their runs or the method's are missing, diverged or failed."""

    @property
    def verdicts(self) -> dict[str, str]:
        """The verdict by clock."""
        return {clock: judgement.verdict for clock, judgement in self.judgements.items()}

    @property
    def is_starved(self) -> bool:
        """Whether too few search trials finished for its search to count."""
        return (
            self.is_searched and bool(self.winners) and self.statuses[FINISHED] < MIN_FULL * len(self.winners)
        )

    @property
    def is_finished(self) -> bool:
        """Whether its tuning is finished: winners lie inside their ranges, and enough search trials finished."""
        return not self.edges and not self.is_starved

    @property
    def winner(self) -> TrialRecord | None:
        """The winner of the first study that has one."""
        return self.winners[0].trial if self.winners else None


def published(row: Row) -> Measured | None:
    """The method at its published settings: a control, or the method itself if these won in every study."""
    if row.winners and all(winner.is_published for winner in row.winners):
        return row
    return next((control for control in row.controls if control.name == PUBLISHED), None)
