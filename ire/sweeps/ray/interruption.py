"""Ends a sweep on signals: SIGTERM, and SIGHUP of a closing terminal, act like Ctrl-C.

The end is clean if Ray allows it, and soon in any case. Afterwards signals are handled as before the sweep.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Generator

ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
OF_TUNE = [getattr(signal, name) for name in ("SIGINT", "SIGUSR1") if hasattr(signal, name)]
"""Ray Tune leaves handlers of its own for these, which ignore the first Ctrl-C after a sweep."""
DEADLINE_SECONDS = 15.0
"""Seconds that Ray may take to end its processes after such a signal; it takes a minute if they received it too."""


@contextlib.contextmanager
def terminate_like_interrupt(farewell: Callable[[], None]) -> Generator[None, None, None]:
    """Let the signals `ENDING` end a sweep cleanly, as SIGINT does; ignored ones (`nohup`, `disown`) stay ignored.

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
        with contextlib.suppress(RuntimeError):  # already started by an earlier signal
            deadline.start()
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background by a shell script
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


@contextlib.contextmanager
def handlers_kept() -> Generator[None, None, None]:
    """Restore the handlers of `OF_TUNE` afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in OF_TUNE}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # not one that only C knows
                signal.signal(number, handler)
