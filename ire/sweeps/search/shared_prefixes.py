"""Decides which trial waits for a prefix: steps before the boost that another trial is training (`--share-prefix`)."""

from collections import defaultdict
from collections.abc import Iterable

from ire.sweeps.records.records import TrialRecord
from ire.trial.spec import TrialSpec
from trainables.training.prefix import prefix_key, prefix_steps


class Prefixes:
    """The prefixes of a sweep, as far as the reports of this run show them."""

    def __init__(self) -> None:
        self._saved: defaultdict[str, set[int]] = defaultdict(set)
        """Steps at which a state was stored, by key."""
        self._of: dict[str, tuple[str | None, int]] = {}
        """Key and steps of each trial's prefix, by name of the trial."""

    def learn(self, trial: TrialRecord) -> None:
        """Update from the last report of a trial."""
        key, steps = self._prefix(trial)
        if key is not None and _has_left(trial, steps):
            self._saved[key].add(steps)

    def waits(self, spec: TrialSpec, running: Iterable[TrialRecord]) -> bool:
        """Whether one of the `running` trials will soon store a longer prefix of `spec` than exists."""
        key, steps = prefix_key(spec), prefix_steps(spec)
        if key is None:
            return False
        longest = max((step for step in self._saved[key] if step <= steps), default=0)
        for trial in running:
            other, theirs = self._prefix(trial)
            if other == key and longest < theirs <= steps and not _has_left(trial, theirs):
                return True
        return False

    def _prefix(self, trial: TrialRecord) -> tuple[str | None, int]:
        if trial.name not in self._of:
            self._of[trial.name] = prefix_key(trial.spec), prefix_steps(trial.spec)
        return self._of[trial.name]


def _has_left(trial: TrialRecord, steps: int) -> bool:
    """Whether the trial's boost has started: at step `steps`, or earlier because of a low loss."""
    return trial.step >= steps or (bool(trial.reports) and trial.reports[-1].get("ire_start") is not None)
