"""The trial's side of a gang, on a simulated clock and without Ray."""

from types import SimpleNamespace

import pytest

import trainables.gang.trainable
import trainables.gang.watchdog
from trainables.gang.trainable import ANSWER_SECONDS, GangTrainable
from trainables.gang.watchdog import Watchdog

HANG_SECONDS = 60.0


class Stuck:
    """A mailbox whose worker has begun and never says a word again; waiting for one takes its time."""

    def __init__(self, clock):
        self.collect = SimpleNamespace(remote=lambda number, timeout: clock.passes(timeout))
        self.workers = SimpleNamespace(remote=lambda: ["worker 0"])


class Clock:
    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def passes(self, seconds):
        self.now += seconds


@pytest.mark.parametrize("pause", [0.0, 0.5, 2.0, 20.0])
def test_a_stuck_worker_is_killed_after_as_much_listening_however_often_the_sweep_pauses(monkeypatch, pause):
    clock, killed = Clock(), []
    monkeypatch.setattr(trainables.gang.trainable, "time", clock)
    monkeypatch.setattr(trainables.gang.watchdog, "time", clock)
    monkeypatch.setattr(
        trainables.gang.trainable, "ray", SimpleNamespace(get=lambda value: value, kill=killed.append)
    )
    gang = GangTrainable.__new__(GangTrainable)
    gang._mailbox, gang._number = Stuck(clock), 1
    gang._thread = SimpleNamespace(is_alive=lambda: True)
    gang._watchdog, gang._stepped = Watchdog(HANG_SECONDS), clock.now
    gang._is_taken_up, gang._killed = True, False
    listened = 0
    while not killed and listened < 2 * HANG_SECONDS:
        clock.passes(pause)
        gang.step()
        listened += trainables.gang.trainable.COLLECT_SECONDS
    assert killed == ["worker 0"]
    assert listened == HANG_SECONDS + ANSWER_SECONDS
