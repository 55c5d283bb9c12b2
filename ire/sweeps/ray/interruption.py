"""Ends a sweep from outside: SIGTERM acts like Ctrl-C, cleanly if Ray allows, and soon in any case."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

DEADLINE_SECONDS = 15.0
"""Seconds that Ray may take to end its processes after SIGTERM; if they also received it, it would take a minute."""


@contextlib.contextmanager
def terminate_like_interrupt(farewell: Callable[[], None]) -> Iterator[None]:
    """Let SIGTERM end a sweep cleanly, as SIGINT does.

    If that takes too long, `farewell` is called and the process exits: everything is already recorded.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave() -> None:
        farewell()
        os._exit(128 + signal.SIGINT)

    deadline = threading.Timer(DEADLINE_SECONDS, leave)
    deadline.daemon = True

    def terminate(*_: object) -> None:
        with contextlib.suppress(RuntimeError):  # asked twice
            deadline.start()
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        deadline.cancel()
        signal.signal(signal.SIGTERM, before)
