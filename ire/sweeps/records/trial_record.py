"""One trial as the records have it: what it is, its reports, its faults, and how it ended."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from ire.invalid_input import InvalidInput
from ire.sweeps.records.event_check import RUNNING
from ire.trial.report import Report
from ire.trial.spec import TrialSpec


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault of a trial that its settings did not cause."""

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
    """Counts from 0: in the search the trials of a method, later the seeds of what is run again."""
    arm: str = ""
    """The method of the sweep for which it runs; its own one, unless it is a control of another."""
    origin: int | None = None
    """After the search: the number of the search trial that its settings come from."""
    variant: str = ""
    """What differs from that trial: a point of the curve (`x2`, `x2-lr0.5`), or the name of a control."""
    status: str = RUNNING
    error: str | None = None
    reports: list[Report] = field(default_factory=list)
    """One a step, in rising steps."""
    started: datetime | None = None
    ended: datetime | None = None
    faults: list["Fault"] = field(default_factory=list)
    """Its faults, survived or not."""
    widened: dict[str, Any] | None = None
    """Ranges of its study that were moved right before it started (`ire.sweeps.search.widening`)."""
    prefix: int = 0
    """Gradient evaluations, counted as its own, that another trial has spent for it (`trainables.training.prefix`)."""

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
        """A value of the last report, of which there must be one."""
        return self.reports[-1][name]

    def is_new(self, report: Report) -> bool:
        """Whether the report's step is not known already."""
        return not self.reports or report["step"] > self.step

    def add(self, report: Report) -> bool:
        """Keep a report; False if its step is known already."""
        if not self.is_new(report):
            return False
        self.reports.append(report)
        return True

    def forget_reports(self) -> None:
        """Keep only the last report of a trial that has ended, and what is asked of it: long sweeps have millions."""
        self.best_val_loss  # noqa: B018 - computed now, or never
        self.middle  # noqa: B018
        del self.reports[:-1]

    @cached_property
    def best_val_loss(self) -> float | None:
        """The lowest validation loss of a trial that has ended."""
        return min((r["val_loss"] for r in self.reports if r["val_loss"] is not None), default=None)

    @cached_property
    def middle(self) -> Report | None:
        """The report nearest to the half of the steps of a trial that has ended; None before the first."""
        return min(self.reports, key=lambda report: abs(report["step"] - self.step / 2), default=None)

    def identity(self) -> dict[str, Any]:
        """What the trial is, as JSON can hold it; `from_identity` reads it."""
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
        """The trial of that identity, started at `time` (ISO 8601); `InvalidInput` for a newer version's spec."""
        try:
            spec = TrialSpec.from_dict(fields["spec"])
        except (TypeError, KeyError, ValueError) as error:
            raise InvalidInput(
                f"this version of ire cannot read the specification of {fields['spec']['name']} ({error}): a newer one "
                "has written it, or it was damaged"
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
