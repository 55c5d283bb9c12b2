"""The schema of the `report.json` of `ire verdict`, number 1: its keys and their types.

Losses are in nats, horizons in steps.
"""

from typing import TypedDict

from ire.sweeps.report.facts.schema import ClauseFacts, IntervalFacts, ObjectiveFacts

SCHEMA = 1


class BoundFacts(TypedDict):
    """A ratio, and whether it is a bound: -1 from above, 1 from below, 2 from neither side; 0 if it is the value."""

    value: float
    censored: int


class CurvesSpeedUpFacts(TypedDict):
    """A speed-up with the ends of its interval, over `units`: studies, or runs."""

    text: str
    ratio: BoundFacts
    low: BoundFacts
    high: BoundFacts
    units: int
    p_faster: float
    p_slower: float


class SideFacts(TypedDict):
    """The runs of an arm at one horizon; None where no whole run, or a single one, gives no number."""

    runs: int
    lost: int
    standard_deviation: float | None


class LossSideFacts(SideFacts):
    """The loss is compared."""

    mean_loss: float | None


class MetricSideFacts(SideFacts):
    """Another metric is compared."""

    mean: float | None


class ArmFacts(TypedDict):
    """One arm."""

    arm: str
    is_baseline: bool
    horizons: dict[str, LossSideFacts | MetricSideFacts]
    verdict: dict[str, str]
    """By clock, as are `against` and `speed_up`."""
    against: dict[str, str]
    speed_up: dict[str, CurvesSpeedUpFacts]
    difference: dict[str, IntervalFacts]
    """By baseline."""


class CurvesFacts(ObjectiveFacts):
    """The whole report on curves."""

    schema: int
    headline: str
    findings: list[str]
    clock: str
    studies: int
    about: str
    paired: bool
    arms: list[ArmFacts]
    contract: list[ClauseFacts]
