"""The schema of the `report.json` of several sweeps, number 2: its keys and their types."""

from typing import TypedDict

SCHEMA = 2


class SweepFacts(TypedDict):
    """One of the sweeps."""

    name: str
    task: str
    headline: str


class PooledSpeedUpFacts(TypedDict):
    """The geometric mean over the tasks of a method's speed-up over the baseline that decides."""

    text: str
    against: str
    value: float
    p_faster: float


class PooledMethodFacts(TypedDict):
    """One method, by clock; None where a speed-up is unknown on a task, or where there is no verdict."""

    geometric_mean: dict[str, PooledSpeedUpFacts | None]
    verdict: dict[str, str | None]


class PooledFacts(TypedDict):
    """The whole report of several sweeps."""

    schema: int
    headline: str
    clock: str
    sweeps: list[SweepFacts]
    methods: dict[str, PooledMethodFacts]
    profile_ratios: dict[str, list[float | None]]
    """By method, its time to each task's target over the fastest method's; None for a target that it missed."""
