"""One row a method: its runs, and how they compare with the baselines and with its own controls."""

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

MIN_FULL = 2
"""Finished trials that a search must have to count as one."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Runs of one method or control on the confirm seeds of every study, and how they compare with the baselines."""

    runs: list[TrialRecord]
    """Finished ones, by study and seed."""
    lost: int = 0
    """Runs that diverged or failed: they have no curve, and no verdict may rest on the others."""
    speed_ups: Mapping[str, SpeedUp] = field(default_factory=dict)
    """By clock, over the baseline that is hardest to beat on it; empty without a baseline curve or a common seed."""
    against: Mapping[str, str] = field(default_factory=dict)
    """By clock: that baseline."""

    def metric(self, name: str) -> tuple[float, float] | None:
        """Mean and standard deviation over the runs of a value of the last report."""
        values = [run.reports[-1][name] for run in self.runs if run.reports[-1].get(name) is not None]
        if not values:
            return None
        return mean(values), stdev(values) if len(values) > 1 else 0.0


@dataclass(frozen=True, kw_only=True)
class Control(Measured):
    """One control of a method, or its published settings."""

    name: str
    against_method: Difference | None
    """The method's final value minus the control's: what the method owes to what the control lacks."""
    is_tuned: bool = False
    """Whether its own strength was re-scanned, with as many points as the method's last step of tuning."""


@dataclass(frozen=True, kw_only=True)
class Winner:
    """The settings that stand for a method in one study."""

    study: int
    trial: TrialRecord
    settings: Mapping[str, Any]
    is_published: bool
    """Whether they are the published ones."""


@dataclass(frozen=True, kw_only=True)
class Row(Measured):
    """One method's results; None or empty where there is none yet."""

    method: str
    is_baseline: bool
    winners: list[Winner]
    """By study."""
    search: list[TrialRecord]
    """Of all studies."""
    statuses: dict[str, int]
    """Search trials by status."""
    spent: int
    """Gradient evaluations of all searches."""
    training_seconds: float
    """Of all searches, their trials one after the other."""
    confirm_statuses: dict[str, int]
    edges: list[Edge]
    """Settings of winners at the end of their range, in more than half of the studies."""
    optimizer_share: float | None = None
    """What the optimizer alone takes of a step, measured in the quiet pass; None where it is not known."""
    is_searched: bool = True
    """Whether anything was searched; else its settings are fixed in the space file."""
    over: Against = field(default_factory=Against)
    """Speed-ups over every baseline."""
    judgements: Mapping[str, Judgement] = field(default_factory=dict)
    """By clock, corrected over the methods; empty without a curve, or from fewer than three studies."""
    powers: Mapping[str, Power] = field(default_factory=dict)
    """By clock: what could have been found."""
    validation_speed_ups: Mapping[str, SpeedUp] = field(default_factory=dict)
    """As `speed_ups`, from the losses by which settings were chosen."""
    time_to_target: Mapping[str, SpeedUp] = field(default_factory=dict)
    best_run: Mapping[str, Ratio] = field(default_factory=dict)
    """Of the first search's best run against the baseline's best: the ratio that the literature quotes."""
    against_best: Difference | None = None
    """Against the best baseline."""
    against_base: Difference | None = None
    """Against the method without IRE, tuned by itself."""
    controls: list[Control] = field(default_factory=list)
    null_model: NullModel | None = None
    """What its controls would come to if only the step's mean length counted; None without enough of them."""
    unsettled: list[str] = field(default_factory=list)
    """Controls from which nothing can be told yet: runs of theirs or of the method are missing, diverged or failed."""

    @property
    def verdicts(self) -> dict[str, str]:
        """By clock."""
        return {clock: judgement.verdict for clock, judgement in self.judgements.items()}

    @property
    def is_starved(self) -> bool:
        """Whether too few trials ran to the end for its search to count as one."""
        return (
            self.is_searched and bool(self.winners) and self.statuses[FINISHED] < MIN_FULL * len(self.winners)
        )

    @property
    def is_finished(self) -> bool:
        """Whether its tuning has ended: no winners press against a range, and enough trials ran to the end."""
        return not self.edges and not self.is_starved

    @property
    def winner(self) -> TrialRecord | None:
        """The winner of the first study that has one."""
        return self.winners[0].trial if self.winners else None


def published(row: Row) -> Measured | None:
    """The method with its published settings: a control, or the method itself if they won in every study."""
    if row.winners and all(winner.is_published for winner in row.winners):
        return row
    return next((control for control in row.controls if control.name == PUBLISHED), None)
