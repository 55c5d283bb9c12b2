"""Detects that a trial has become silent, and shows where it is stuck.

A trial is silent when it has not reported for `MULTIPLE` times its longest interval so far, and at least for the
seconds that the sweep allows (`--hang-seconds`): compiling and loading data take their time at the beginning.
"""

import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager

MULTIPLE = 10.0
FRAMES = 6
"""Number of innermost stack frames in a diagnosis."""


class Watchdog:
    """Measures the silence of one trial; `seconds` is the minimum that counts as a hang."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._longest = 0.0
        self._heard_before = False
        self._last = time.monotonic()

    def heard(self) -> None:
        """Note a sign of life; the time before the first one is not an interval."""
        if self._heard_before:
            self._longest = max(self._longest, self.silence)
        self._heard_before = True
        self.restart()

    def restart(self) -> None:
        """Count the silence from now on."""
        self._last = time.monotonic()

    def excuse(self, seconds: float) -> None:
        """Exclude these seconds of silence, which the trial did not cause."""
        self._last += seconds

    @property
    def silence(self) -> float:
        """Seconds since the last sign of life."""
        return time.monotonic() - self._last

    @property
    def limit(self) -> float:
        """Seconds of silence that are a hang."""
        return max(self._seconds, MULTIPLE * self._longest)


class HangGuard:
    """A thread in a worker that calls `on_hang` with a diagnosis, once, when the thread that made it hangs.

    Use `with guard: ...` around a trial and `with guard.paused(): ...` around every report. The thread mostly sleeps.
    """

    def __init__(self, seconds: float, on_hang: Callable[[str], None]) -> None:
        self._watchdog = Watchdog(seconds)
        self._on_hang = on_hang
        self._watched = threading.get_ident()
        self._over = threading.Event()
        self._is_paused = False

    @contextmanager
    def paused(self) -> Generator[None, None, None]:
        """A sign of life; the body may take any time."""
        self._watchdog.heard()
        self._is_paused = True
        try:
            yield
        finally:
            self._watchdog.restart()
            self._is_paused = False

    def __enter__(self) -> "HangGuard":
        threading.Thread(target=self._watch, name="hang-guard", daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(max(0.05, self._watchdog.limit - self._watchdog.silence)):
            if not self._is_paused and self._watchdog.silence >= self._watchdog.limit:
                self._on_hang(
                    f"no report for {self._watchdog.silence:.0f} s; it is at\n{stack(self._watched)}"
                )
                return


def stack(thread: int) -> str:
    """The innermost frames of a thread of this process, outermost first."""
    frame = sys._current_frames().get(thread)  # pyright: ignore[reportPrivateUsage] - public in Python's manual
    return "".join(traceback.format_stack(frame)[-FRAMES:]) if frame else "(its thread has ended)"
