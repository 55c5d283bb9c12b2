"""How much two methods differ in the final values of their runs, paired by study and seed, with an interval."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np

from ire.sweeps.findings.statistics.draws import interval, paired_draws, unpaired_draws
from ire.sweeps.findings.statistics.verdict import MIN_SEEDS
from ire.sweeps.findings.yardstick import finished
from ire.sweeps.records.records import TrialRecord


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Final loss or metric minus another's, with its 95 % interval over studies, or over the seeds of one study."""

    value: float
    low: float
    high: float
    units: int
    is_better_above: bool = False
    """Whether a difference above 0 means that the first is better; false for a loss."""

    @property
    def shows_better(self) -> bool:
        """Whether the interval shows that the first of the two is better."""
        return self.units >= MIN_SEEDS and (self.low > 0 if self.is_better_above else self.high < 0)

    @property
    def shows_worse(self) -> bool:
        """Whether the interval shows that the first of the two is worse."""
        return self.units >= MIN_SEEDS and (self.high < 0 if self.is_better_above else self.low > 0)

    def __str__(self) -> str:
        return (
            f"{self.value:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"
            if self.units > 1
            else f"{self.value:+.4f}"
        )


def difference(
    mine: Sequence[Sequence[TrialRecord]],
    others: Sequence[Sequence[TrialRecord]],
    value: Callable[[TrialRecord], float],
    generator: np.random.Generator,
    *,
    paired: bool,
    is_better_above: bool,
) -> Difference | None:
    """The mean difference in the `value` of finished runs, over studies, or over seeds within one study.

    `paired` runs of one seed are drawn together, otherwise each side separately. None if a study has no seed that
    finished on both sides.
    """
    parts: list[list[tuple[float, float]]] = []
    for one, other in zip(mine, others, strict=True):
        pairs = pairs_of(finished(one), finished(other))
        if not pairs:
            return None
        parts.append([(value(a), value(b)) for a, b in pairs])
    if paired:
        differences = [[a - b for a, b in part] for part in parts]
        units = np.array(differences[0] if len(parts) == 1 else [mean(part) for part in differences])
        middle, draws = units.mean(), paired_draws(units[:, None], generator)[:, 0]
    else:
        units = np.array(parts[0] if len(parts) == 1 else [np.mean(part, axis=0) for part in parts])
        first, second = unpaired_draws(units, generator).T
        middle, draws = np.subtract(*units.mean(axis=0)), first - second
    low, high = interval(draws)
    return Difference(
        value=float(middle), low=low, high=high, units=len(units), is_better_above=is_better_above
    )


def pairs_of(
    left: Sequence[TrialRecord], right: Sequence[TrialRecord]
) -> list[tuple[TrialRecord, TrialRecord]]:
    """Runs of the same study and seed, in order."""
    others = {(run.study, run.number): run for run in right}
    return [(run, others[run.study, run.number]) for run in left if (run.study, run.number) in others]
