"""Copies the files of a running sweep to its object store."""

import time

from ire.sweeps.records.experiment_home import ExperimentHome
from ire.sweeps.watch.watcher import Watcher

RECORDS_SECONDS = 5.0
ALL_SECONDS = 60.0


class Publisher(Watcher):
    """Publishes reports every `RECORDS_SECONDS`, everything else every `ALL_SECONDS`; events are published at once."""

    def __init__(self, home: ExperimentHome) -> None:
        self._home = home
        self._records = self._all = time.monotonic()

    def tick(self) -> None:
        now = time.monotonic()
        if now - self._all >= ALL_SECONDS:
            self._home.publish()
            self._all = self._records = now
        elif now - self._records >= RECORDS_SECONDS:
            self._home.publish_records()
            self._records = now

    def closed(self) -> None:
        self._home.publish()
