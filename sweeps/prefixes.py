"""Which trial waits for the steps that another one is training and both would pass through (`--share-prefix`)."""

import math
from collections import defaultdict
from collections.abc import Iterable

from sweeps.records import TrialRecord
from trainables.prefix import prefix_key, prefix_steps
from trainables.trial import TrialSpec


class Prefixes:
    """What is known of the prefixes of a sweep from the reports of its trials."""

    def __init__(self) -> None:
        self._saved: defaultdict[str, set[float]] = defaultdict(set)
        """By key: the steps at which a state was left; infinity where a loss has ended the prefix."""
        self._of: dict[str, tuple[str | None, int]] = {}
        """By trial: key and steps of its prefix."""

    def learn(self, trial: TrialRecord) -> None:
        """Take in the last report of a trial."""
        key, steps = self._prefix(trial)
        if key is None:
            return
        if trial.reports[-1].get("ire_start") is not None and trial.step < steps:
            self._saved[key].add(math.inf)
        if trial.step >= steps:
            self._saved[key].add(steps)

    def waits(self, spec: TrialSpec, running: Iterable[TrialRecord]) -> bool:
        """Whether one of the `running` trials will soon leave a longer prefix of `spec` than there is."""
        key, steps = prefix_key(spec), prefix_steps(spec)
        if key is None or math.inf in self._saved[key]:
            return False
        longest = max((step for step in self._saved[key] if step <= steps), default=0)
        coming = (theirs for other, theirs in map(self._prefix, running) if other == key)
        return any(longest < theirs <= steps for theirs in coming)

    def _prefix(self, trial: TrialRecord) -> tuple[str | None, int]:
        if trial.name not in self._of:
            self._of[trial.name] = prefix_key(trial.spec), prefix_steps(trial.spec)
        return self._of[trial.name]
