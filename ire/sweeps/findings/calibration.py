"""How often verdicts on similar sweeps were wrong in simulations, as measured by `benchmarks/calibration.py`.

`calibration.toml` beside this file has its rows. A report shows the row that is most similar to the sweep.
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
    """One row of the benchmark: many simulated sweeps with known truth."""

    surface: str
    """The task to whose results the simulated losses were fitted."""
    line: str
    """The comparison that was simulated."""
    searched: str
    """How settings were suggested: at random, or by the protocol (TPE, ASHA)."""
    studies: int
    """Number of studies of each sweep; the minimum if sweeps continued until they were decided."""
    sweeps: int
    """Number of simulated sweeps."""
    faster: float
    """Share of sweeps that called a method faster."""
    slower: float
    """Share of sweeps that called a method slower."""
    covers: float
    """Share of sweeps whose interval contained the truth."""
    estimate: float
    """Geometric mean of the estimated speed-ups."""
    could_find: float
    """Median of the smallest detectable speed-ups that the reports stated."""


@lru_cache(maxsize=1)
def calibrations() -> tuple[Calibration, ...]:
    """All measured rows."""
    text = files("ire.sweeps.findings").joinpath("calibration.toml").read_text(encoding="utf-8")
    return tuple(Calibration(**row) for row in tomllib.loads(text)["rows"])


def calibration_of(plan: Plan, comparison: Comparison) -> Calibration | None:
    """The row for a sweep whose verdicts are about methods; None for one that judges configurations.

    The row has the sweep's task if that was simulated, else the task on which verdicts were wrong most often; five
    methods if the sweep compares more than one with the baselines; at most as many studies as the sweep; and a search
    by the protocol if that was simulated.
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
