"""How far the trial of a training function has come: the counters and values that its reports and checkpoints hold.

A task's trial has its own (`trainables.training.progress`): its loop counts the steps, here the function does.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ire.invalid_input import InvalidInput
from ire.methods.own_arm import GRADIENTS, own_arm
from ire.trial.report import Report
from ire.trial.spec import TrialSpec
from trainables.functions.numbers import Numbers, check_metric, finite
from trainables.functions.stopwatch import Stopwatch
from trainables.training.hardware import hardware
from trainables.training.placement import peak_memory_mib
from trainables.training.progress import EXPLODED
from trainables.training.utilization import gpu_utilization


class FunctionProgress:
    """Steps, reports, counted gradients and logged values of one trial so far."""

    def __init__(self, spec: TrialSpec) -> None:
        self.step = self.first_step = 0
        self.reports: list[Report] = []
        self._spec, self._arm = spec, own_arm(spec.method)
        self._seconds_of_last_report = 0.0
        self._gradients: float | None = None
        self._first_loss: float | None = None
        self._logged: dict[str, tuple[Any, int]] = {}

    @property
    def reported(self) -> int:
        """The step of the last report; 0 before the first."""
        return self.reports[-1]["step"] if self.reports else 0

    def steps_per_second(self, step: int, seconds: float) -> float | None:
        """The rate since the last report, of `seconds` of training time in all; None if no time has passed."""
        passed = seconds - self._seconds_of_last_report
        return (step - self.reported) / passed if passed > 0 else None

    def log(self, name: str, value: Any) -> None:
        """Add a value to the mean of `name` until the next report; raises `InvalidInput` for a reserved name."""
        check_metric(name, call="trial.log")
        if name in ("train_loss", "val_loss"):
            raise InvalidInput(f"trial.log({name!r}): trial.report takes it; choose another name")
        value = value.detach().double() if isinstance(value, Tensor) else float(value)
        total, count = self._logged.get(name, (0.0, 0))
        self._logged[name] = (total + value, count + 1)

    def means(self) -> dict[str, Any]:
        """The mean of every name logged since the last report."""
        return {name: total / count for name, (total, count) in self._logged.items()}

    def count(self, gradients: float) -> None:
        """Add work, in gradients of a full batch; raises `InvalidInput` unless it is finite and at least 0."""
        if not math.isfinite(gradients) or gradients < 0:
            raise InvalidInput(f"trial.count(gradients={gradients!r}): must be a number of at least 0")
        self._gradients = (self._gradients or 0.0) + gradients

    def gradient_evaluations(self, step: int) -> int:
        """The counted gradients, or the method's cost if none were counted; `InvalidInput` if above the budget."""
        most = self._arm.gradient_evaluations(self._spec.settings, self._spec.horizon, steps=step)
        if self._gradients is None:
            return most
        counted = math.ceil(self._gradients - 1e-6)
        if counted > most + 1:
            raise InvalidInput(
                f"{self._spec.method} has counted {self._gradients:g} gradients in {step} steps, more than its budget "
                f"of {most}: set the maximum cost of a step in its table of the space, {GRADIENTS} = "
                f"{math.ceil(100 * self._gradients / step) / 100:g}"
            )
        return counted

    def is_diverged(self, train_loss: float | None, val_loss: float | None) -> bool:
        """Whether a loss is not finite, or above `EXPLODED` times the first one."""
        losses = [loss for loss in (train_loss, val_loss) if loss is not None]
        if not losses:
            return False
        if self._first_loss is None and all(map(math.isfinite, losses)):
            self._first_loss = max(losses)
        if self._first_loss is None:
            return True
        limit = self._first_loss + (EXPLODED - 1) * max(abs(self._first_loss), 1e-12)
        return not all(loss < limit for loss in losses)  # NaN compares as false

    def report(
        self,
        step: int,
        numbers: Numbers,
        *,
        watch: Stopwatch,
        lr: float | None,
        device: torch.device,
        diverged: bool,
    ) -> Report:
        """Add the report at `step` of `numbers`, the losses among them, and start new means."""
        report: Any = {
            "step": step,
            "gradient_evaluations": self.gradient_evaluations(step),
            "seconds": watch.seconds,
            "train_loss": finite(numbers["train_loss"]),
            "val_loss": finite(numbers["val_loss"]),
            "warmup_seconds": watch.setup_seconds,
            **({} if lr is None else {"lr": lr}),
            **{
                name: finite(value)
                for name, value in numbers.items()
                if name not in ("train_loss", "val_loss")
            },
            **peak_memory_mib(device),
            **gpu_utilization(device),
            "hardware": hardware(device),
            "steps_per_second": self.steps_per_second(step, watch.seconds),
            "diverged": diverged,
        }
        self.reports.append(report)
        self._seconds_of_last_report = report["seconds"]
        self._logged.clear()
        return report

    def state(self) -> dict[str, Any]:
        """The part of a checkpoint that `load` takes."""
        return {
            "step": self.step,
            "reports": self.reports,
            "gradients": self._gradients,
            "first_loss": self._first_loss,
            "seconds_of_last_report": self._seconds_of_last_report,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.step = self.first_step = state["step"]
        self.reports = list(state["reports"])
        self._gradients, self._first_loss = state["gradients"], state["first_loss"]
        self._seconds_of_last_report = state["seconds_of_last_report"]
