"""How far a trial has come: the counters and sums that its reports and checkpoints contain."""

from collections.abc import Mapping
from typing import Any

import torch

from ire.trial.report import Report

EXPLODED = 10.0
"""A loss above this multiple of the first batch's counts as diverged."""


class Progress:
    """The steps of one trial so far, its reports, and its losses since the last of them."""

    def __init__(self, device: torch.device) -> None:
        self.step = 0
        self.gradients = 0
        """In gradients of the trial's own batch."""
        self.reports: list[Report] = []
        self.first_loss: float | None = None
        """The training loss of the first step, a mean over all workers."""
        self.loss_sum = torch.zeros((), device=device, dtype=torch.float64)
        """The sum of the training losses since the last report; each worker's own until the workers average it."""
        self._step_of_last_report = 0
        self._seconds_of_last_report = 0.0

    @property
    def steps_since_report(self) -> int:
        return self.step - self._step_of_last_report

    def seconds_since_report(self, seconds: float) -> float:
        """Training time since the last report, of `seconds` in all."""
        return seconds - self._seconds_of_last_report

    def passes(self, horizon: int, points: int) -> bool:
        """Whether one of the `points` that divide `horizon` evenly lies after the last report and up to this step."""
        return self.step * points // horizon > self._step_of_last_report * points // horizon

    def reported(self, report: Report) -> None:
        """Append `report`, and begin a new sum of losses."""
        self.reports.append(report)
        self.loss_sum.zero_()
        self._step_of_last_report, self._seconds_of_last_report = self.step, report["seconds"]

    def has_exploded(self, loss: float) -> bool:
        """Whether `loss` is NaN, or has risen above `EXPLODED` times that of the first batch."""
        first = self.first_loss
        assert first is not None, "no step has been taken"
        return not loss < first + (EXPLODED - 1) * abs(first)  # NaN compares as false

    def state(self) -> dict[str, Any]:
        """The entries of a checkpoint, which also holds `gradient_evaluations`, those of full batches."""
        return {
            "step": self.step,
            "loss_sum": self.loss_sum.item(),
            "last_report": [self._step_of_last_report, self._seconds_of_last_report],
            "first_loss": self.first_loss,
            "reports": self.reports,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.step = state["step"]
        self.loss_sum.fill_(state.get("loss_sum", 0.0))  # older checkpoints were all taken at a report
        last = state.get("last_report", [state["step"], state["seconds"]])
        self._step_of_last_report, self._seconds_of_last_report = last
        self.gradients = state.get("gradients", state["gradient_evaluations"])
        self.reports = list(state["reports"])
        self.first_loss = state["first_loss"]
