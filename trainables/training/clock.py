"""The training time of a trial: without evaluation, without compiles, and without what only the first steps cost.

The first trial in a process pays for the device's context, kernels and autotuning, and one that compiles pays a
minute for its graphs: neither says anything about the method. These seconds are recorded separately.
"""

import time
from functools import cache

import torch


class Clock:
    """Stopped or running; `seconds` and `warmup_seconds` are up to date while it is stopped.

    The first step after `skip_next` counts as the mean of the steps after it until the clock stops, or as the time it
    took if there are none.
    """

    def __init__(self, device: torch.device, *, compiles: bool) -> None:
        self.seconds = 0.0
        self.warmup_seconds = 0.0
        """The time of compiling, and of skipped steps beyond their share of `seconds`."""
        self._device = device
        self._spans = compile_spans() if compiles else None
        self._compiled_before = self._compiled
        self._is_running = False
        self._started = self._compiled_at_start = 0.0
        self._steps = 0
        self._skips = False
        self._skipped = 0.0

    def skip_next(self) -> None:
        """Skip the next step, which warms something up; the clock must be stopped.

        Has no effect on a CPU without compiling, where little needs to warm up.
        """
        self._skips = self._spans is not None or self._device.type != "cpu"

    def start(self) -> None:
        """Start the clock, unless it is running."""
        if not self._is_running:
            self._begin()

    def stepped(self) -> None:
        """Count a step that has been taken."""
        if self._skips:
            self._skips = False
            self._skipped = self._elapsed()
            self._begin()
        else:
            self._steps += 1

    def stop(self) -> None:
        """Stop the clock and update the totals."""
        if self._is_running:
            elapsed = self._elapsed()
            share = self._skipped if not self._steps else self._skipped and elapsed / self._steps
            self.seconds += elapsed + share
            self.warmup_seconds += self._skipped - share
        self._is_running, self._steps, self._skipped = False, 0, 0.0
        self.warmup_seconds += self._compiled - self._compiled_before
        self._compiled_before = self._compiled

    def _begin(self) -> None:
        self._is_running, self._started, self._compiled_at_start = True, self._now(), self._compiled

    def _elapsed(self) -> float:
        """Seconds since the clock began, without compiling."""
        return self._now() - self._started - (self._compiled - self._compiled_at_start)

    @property
    def _compiled(self) -> float:
        return 0.0 if self._spans is None else self._spans.seconds

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


class CompileSpans:
    """Adds up the seconds in which `torch.compile` works in this process, backward graphs included."""

    def __init__(self) -> None:
        from torch._dynamo import callback  # takes a second to import: only where something is compiled

        self.seconds = 0.0
        self._began = 0.0
        callback.on_compile_start(self._start)
        callback.on_compile_end(self._end)

    def _start(self, _: object) -> None:
        self._began = time.perf_counter()

    def _end(self, _: object) -> None:
        self.seconds += time.perf_counter() - self._began


@cache
def compile_spans() -> CompileSpans:
    """The process's only instance, since torch never removes callbacks."""
    return CompileSpans()
