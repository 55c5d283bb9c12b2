"""How often verdicts like that of a sweep were wrong in simulations: what `benchmarks/calibration.py` has measured.

`calibration.toml` beside this file holds its rows. A sweep is told the row that is most like it.
"""

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from ire.sweeps.findings.comparison import Comparison
from ire.sweeps.plan.plan import Plan

SAME, FIVE = "the same method twice", "five methods, all the same"
WIDENED, WARM = "a range that --widen moves", "--warm-start from as many studies"
UNTIL_DECIDED = "the same method twice, --until-decided 6"
AT_RANDOM, BY_PROTOCOL = "at random", "by the protocol"


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """One line of the benchmark: many simulated sweeps in which the truth was known."""

    surface: str
    """The task whose results the simulated losses were fitted to."""
    line: str
    """What was compared."""
    searched: str
    """How settings were suggested: at random, or by the protocol (TPE, ASHA)."""
    studies: int
    """Of each sweep; where sweeps went on until they were decided, at least."""
    sweeps: int
    """How many were simulated."""
    faster: float
    """The share that called a method faster."""
    slower: float
    """The share that called a method slower."""
    covers: float
    """The share whose interval held the truth."""
    estimate: float
    """The geometric mean of the estimates."""
    could_find: float
    """The median of the smallest true speed-ups that reports said they would have found."""


@lru_cache(maxsize=1)
def calibrations() -> tuple[Calibration, ...]:
    """Every row that has been measured."""
    text = files("ire.sweeps.findings").joinpath("calibration.toml").read_text(encoding="utf-8")
    return tuple(Calibration(**row) for row in tomllib.loads(text)["rows"])


def calibration_of(plan: Plan, comparison: Comparison) -> Calibration | None:
    """The row for a sweep whose verdicts are about methods; None for one that judges configurations.

    It is of the sweep's own task where that was simulated, else of the task on which verdicts were wrong most often; of
    five methods if more than one is compared with the baselines; with no more studies than the sweep has; searched by
    the protocol where that was simulated.
    """
    if not comparison.judges_methods:
        return None
    line = _line(plan, comparison)
    rows = [row for row in calibrations() if row.line == line and row.studies <= comparison.studies]
    own = [row for row in rows if row.surface == plan.task] or rows
    most = max((row.studies for row in own), default=0)
    alike = [row for row in own if row.studies == most]
    alike = [row for row in alike if row.searched == BY_PROTOCOL] or alike
    return max(alike, key=lambda row: row.faster + row.slower, default=None)


def _line(plan: Plan, comparison: Comparison) -> str:
    if plan.until_decided:
        return UNTIL_DECIDED
    if plan.imported is not None:
        return WARM
    if comparison.widenings:
        return WIDENED
    challengers = sum(not row.is_baseline for row in comparison.rows)
    return FIVE if challengers > 1 else SAME
