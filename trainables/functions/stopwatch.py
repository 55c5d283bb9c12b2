"""Measures the training time of a function's trial from its calls of `due` and `report`.

`seconds` is comparable with that of a task's trial: device-synchronised, without evaluation, without the time before
the first step (imports, data, the model), and without that inside the first step, such as compiling.
"""

import time

import torch


class Stopwatch:
    """Runs from one report to the next evaluation; `seconds` and `setup_seconds` are current while it is stopped.

    After `skip`, the first step of a span counts as the mean of the steps after it, or 0 if there are none.
    """

    def __init__(self, device: torch.device, *, seconds: float = 0.0, setup_seconds: float = 0.0) -> None:
        self.seconds, self.setup_seconds = seconds, setup_seconds
        self._device = device
        self._began: float | None = None
        self._first = 0
        self._skips = False
        self._skipped = 0.0
        self._skipped_steps = 0

    @property
    def is_running(self) -> bool:
        return self._began is not None

    def start(self, step: int, *, skip: bool = False) -> None:
        """Run from `step`, the number of steps taken; with `skip` the next step is not measured."""
        self._began, self._first, self._skips = self._now(), step, skip
        self._skipped, self._skipped_steps = 0.0, 0

    def stepped(self, step: int) -> None:
        """Note that `step` steps have been taken."""
        if self._skips and self._began is not None and step > self._first:
            now = self._now()
            self._skipped, self._skipped_steps = now - self._began, step - self._first
            self._began, self._first, self._skips = now, step, False

    def stop(self, step: int) -> None:
        """Stop after that step, and update the totals."""
        if self._began is None:
            return
        self.stepped(step)
        elapsed, steps = self._now() - self._began, step - self._first
        share = elapsed / steps * self._skipped_steps if steps > 0 else 0.0
        self.seconds += elapsed + share if steps > 0 else 0.0
        self.setup_seconds += max(0.0, self._skipped - share)
        self._began = None

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()
