"""Parts of sentences: names joined by `and`, the verb after them, and speed-ups with their baselines."""

from collections.abc import Mapping, Sequence

from ire.sweeps.findings.rows import Row
from ire.sweeps.findings.statistics.horizon import UNKNOWN
from ire.sweeps.findings.statistics.verdict import SpeedUp


def names_joined(names: Sequence[str]) -> str:
    """`sgd`, `sgd and adamw`, `sgd, adamw and lion`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def methods_joined(rows: Sequence[Row]) -> str:
    """The names of the rows' methods, joined."""
    return names_joined([row.method for row in rows])


def is_or_are(rows: Sequence[object]) -> str:
    """The verb after the names of these methods."""
    return "is" if len(rows) == 1 else "are"


def speed_ups_over(rows: Sequence[Row], clock: str) -> str:
    """`1.31 [1.12, 1.50] against sgd`; with several methods, each speed-up follows its method's name."""
    return ", ".join(
        (f"{row.method} " if len(rows) > 1 else "") + f"{row.speed_ups[clock]} against {row.against[clock]}"
        for row in rows
    )


def beaten_by_shorter(over: Mapping[str, Mapping[str, SpeedUp]]) -> list[str]:
    """Which baselines beat a method with fewer steps, but not with as many; `over` is by method and baseline."""
    return [
        f"{method} ends better than {baseline} after as many steps, but {baseline} ends as well after fewer steps and "
        f"worse after more: no speed-up over it can be read, so {method} is not called faster."
        for method, speed_ups in over.items()
        for baseline, found in speed_ups.items()
        if found.whole and found.ratio.censored == UNKNOWN
    ]
