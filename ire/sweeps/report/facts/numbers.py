"""Numbers of `report.json` with their intervals and bounds: speed-ups, ratios and differences."""

from collections.abc import Mapping

import numpy as np

from ire.sweeps.findings.differences import Difference
from ire.sweeps.findings.statistics.horizon import ABOVE, BELOW, UNKNOWN, WITHIN
from ire.sweeps.findings.statistics.speedup import CLOCKS
from ire.sweeps.findings.statistics.verdict import Ratio, SpeedUp
from ire.sweeps.report.facts.schema import DifferenceFacts, MeanStd, RatioFacts, SpeedUpFacts

BOUNDS = {BELOW: "at most", WITHIN: None, ABOVE: "at least", UNKNOWN: "unknown"}
"""How a ratio is bounded where the baseline's curve ends."""


def finite(value: float) -> float | None:
    """`value`; None if it is infinite or NaN, which JSON does not have."""
    return value if np.isfinite(value) else None


def mean_std(value: tuple[float, float | None]) -> MeanStd:
    """A mean and a standard deviation, None of a single run."""
    return {"mean": value[0], "std": value[1]}


def by_clock(found: Mapping[str, SpeedUp]) -> dict[str, SpeedUpFacts]:
    """Speed-ups by clock, in the order of `CLOCKS`."""
    return {clock: speed_up_facts(found[clock]) for clock in CLOCKS if clock in found}


def speed_up_facts(found: SpeedUp) -> SpeedUpFacts:
    """A speed-up with its interval, the number of units it was drawn from, and its p-values."""
    return {
        **ratio_facts(found.ratio),
        "low": ratio_facts(found.low),
        "high": ratio_facts(found.high),
        "units": found.units,
        "p_faster": found.p_faster,
        "p_slower": found.p_slower,
    }


def ratio_facts(ratio: Ratio) -> RatioFacts:
    """A ratio, and whether it is a bound."""
    bound = BOUNDS[ratio.censored]
    return {"value": ratio.value, "bound": bound, "censored": bound}


def difference_facts(found: Difference | None) -> DifferenceFacts | None:
    """A difference with its interval and the number of units it was drawn from."""
    return (
        {"value": found.value, "low": found.low, "high": found.high, "units": found.units} if found else None
    )
