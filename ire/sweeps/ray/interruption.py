"""Ends a sweep from outside: SIGTERM, and SIGHUP of a terminal that closes, act like Ctrl-C, cleanly if Ray allows, and
soon in any case.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
DEADLINE_SECONDS = 15.0
"""Seconds that Ray may take to end its processes after such a signal; if they also received it, it would take a
minute."""


@contextlib.contextmanager
def terminate_like_interrupt(farewell: Callable[[], None]) -> Iterator[None]:
    """Let the signals `ENDING` end a sweep cleanly, as SIGINT does; one that is ignored (`nohup`, `disown`) stays so.

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
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell script started it in the background
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)

    taken = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, terminate) for number in taken}
    try:
        yield
    finally:
        deadline.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
