"""One trial in the records: its specification, reports, faults and end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, cast

from ire.invalid_input import InvalidInput
from ire.sweeps.records.event_check import RUNNING
from ire.trial.report import FlatFraction, Report
from ire.trial.spec import TrialSpec


@dataclass(frozen=True, kw_only=True)
class Fault:
    """An interruption of a trial that its settings did not cause."""

    kind: str
    """`workers lost`, `hang`, `actor lost`, `storage`."""
    cause: str
    time: datetime


@dataclass
class TrialRecord:
    """The state of one trial."""

    spec: TrialSpec
    stage: str
    number: int
    """Number of the trial within its method's search, and later of its seed, counted from 0."""
    arm: str = ""
    """The method of the sweep for which it runs: its own, unless it is a control of another method."""
    origin: int | None = None
    """After the search: the number of the search trial from which its settings come."""
    variant: str = ""
    """How it differs from that trial: a point of the curve (`x2`, `x2-lr0.5`), or the name of a control."""
    status: str = RUNNING
    error: str | None = None
    reports: list[Report] = field(default_factory=list[Report])
    """Its reports, in rising steps."""
    started: datetime | None = None
    ended: datetime | None = None
    faults: list["Fault"] = field(default_factory=list["Fault"])
    """Its faults, whether the trial survived them or not."""
    widened: dict[str, Any] | None = None
    """Ranges of its study that were widened right before it started (`ire.sweeps.search.widening`)."""
    flat_fractions: dict[str, FlatFraction] = field(default_factory=dict[str, FlatFraction])
    """What IRE's mask held of each tensor at the end, by name; only of confirm runs and controls."""
    prefix: int = 0
    """Gradient evaluations that another trial spent for it, counted as its own (`trainables.training.prefix`)."""

    def __post_init__(self) -> None:
        self.arm = self.arm or self.spec.method

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def method(self) -> str:
        return self.spec.method

    @property
    def study(self) -> int:
        """The number of its study, counted from 0."""
        return self.spec.study

    @property
    def step(self) -> int:
        """Optimizer steps reported so far."""
        return self.reports[-1]["step"] if self.reports else 0

    @property
    def gradient_evaluations(self) -> int:
        """Gradients of a full batch spent so far."""
        return self.reports[-1]["gradient_evaluations"] if self.reports else 0

    @property
    def seconds(self) -> float:
        """Training seconds so far."""
        return self.reports[-1]["seconds"] if self.reports else 0.0

    @property
    def val_loss(self) -> float | None:
        """The last validation loss; None before the first report and after divergence."""
        return self.reports[-1]["val_loss"] if self.reports else None

    def final(self, name: str) -> Any:
        """A value of the last report; requires at least one report."""
        return cast(Mapping[str, Any], self.reports[-1])[name]

    def is_new(self, report: Report) -> bool:
        """Whether the report's step is new."""
        return not self.reports or report["step"] > self.step

    def add(self, report: Report) -> bool:
        """Keep a report; False if its step is known already."""
        if not self.is_new(report):
            return False
        self.reports.append(report)
        return True

    def forget_reports(self) -> None:
        """Keep only the last report of an ended trial, and cached summaries: long sweeps have millions of reports."""
        self.best_val_loss  # noqa: B018 - cached now, while all reports exist
        self.middle  # noqa: B018
        del self.reports[:-1]

    @cached_property
    def best_val_loss(self) -> float | None:
        """The lowest validation loss of an ended trial."""
        return min((r["val_loss"] for r in self.reports if r["val_loss"] is not None), default=None)

    @cached_property
    def middle(self) -> Report | None:
        """The report nearest to half of the steps of an ended trial; None without reports."""
        return min(self.reports, key=lambda report: abs(report["step"] - self.step / 2), default=None)

    def identity(self) -> dict[str, Any]:
        """The description of the trial in JSON, which `from_identity` reads."""
        return {
            "stage": self.stage,
            "number": self.number,
            "arm": self.arm,
            "origin": self.origin,
            "variant": self.variant,
            **({"widened": self.widened} if self.widened else {}),
            "spec": self.spec.to_dict(),
        }

    @classmethod
    def from_identity(cls, fields: dict[str, Any], time: str) -> "TrialRecord":
        """The trial with that identity, started at `time` (ISO 8601); `InvalidInput` for a newer version's spec."""
        try:
            spec = TrialSpec.from_dict(fields["spec"])
        except (TypeError, KeyError, ValueError) as error:
            raise InvalidInput(
                f"this version of ire cannot read the specification of {fields['spec']['name']} ({error}): a newer "
                "version wrote it, or it is damaged"
            ) from error
        return cls(
            spec=spec,
            stage=fields["stage"],
            number=fields["number"],
            arm=fields.get("arm", ""),
            origin=fields.get("origin"),
            variant=fields.get("variant", ""),
            widened=fields.get("widened"),
            started=datetime.fromisoformat(time),
        )
