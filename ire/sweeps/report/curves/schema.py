"""The schema of the `report.json` of `ire verdict`, number 1: its keys and their types.

Losses are in nats, horizons in steps.
"""

from typing import TypedDict

from ire.sweeps.report.facts.schema import BoundedFacts, ClauseFacts, IntervalFacts, ObjectiveFacts

SCHEMA = 1


class BoundFacts(BoundedFacts):
    """A ratio; `censored` is an older form of `bound`: -1 `at most`, 1 `at least`, 2 `unknown`, 0 if it is the value.

    In a sweep's report `censored` has the words. Both keep theirs, so that readers of older reports work.
    """

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
