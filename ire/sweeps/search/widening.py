"""Moves a range that a search presses against, within the limits of its space file (`--widen`).

When every search of a study is over and a method's best trial lies at an end of its range, the end is moved by half of
the range, for all methods that share it, and every method of the study may run half as many search trials again. So a
study ends with winners inside of their ranges, or at limits that somebody has set. Each study widens by itself: it
belongs to the search, of which studies are independent draws. Verdicts play no part in it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ire.invalid_input import InvalidInput
from ire.methods.composed import Method
from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import TrialRecord
from ire.sweeps.search.ledger import Ledger
from ire.sweeps.search.range_ends import Edge, edges
from search_spaces import Interval
from search_spaces.ranges import limits, with_ranges

MOST = 3
"""How often the ranges of a study are widened."""
SHARE = 0.5
"""Of a range, on its own scale, by which an end is moved; and of the trials, by which a cap is raised."""


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A range that was moved."""

    table: str
    """Where the space file has it, as `shared` or `methods.sgd-ire`."""
    setting: str
    old: tuple[float, float]
    new: tuple[float, float]

    def __str__(self) -> str:
        old, new = (", ".join(f"{end:.3g}" for end in ends) for ends in (self.old, self.new))
        return f"{self.setting} [{old}] -> [{new}]"


@dataclass(frozen=True, kw_only=True)
class Widening:
    """What was moved in one study at a time, and by how many trials every method's cap was raised for it."""

    study: int
    moved: tuple[Moved, ...]
    trials: int

    def to_dict(self) -> dict[str, Any]:
        """As the records hold it."""
        ranges = [
            {"table": m.table, "setting": m.setting, "old": list(m.old), "new": list(m.new)}
            for m in self.moved
        ]
        return {"study": self.study, "ranges": ranges, "trials": self.trials}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Widening":
        """The inverse of `to_dict`."""
        moved = tuple(
            Moved(
                table=entry["table"],
                setting=entry["setting"],
                old=tuple(entry["old"]),
                new=tuple(entry["new"]),
            )
            for entry in fields["ranges"]
        )
        return cls(study=fields["study"], moved=moved, trials=fields["trials"])


def due_widening(plan: Plan, ledgers: Mapping[str, Ledger], before: Sequence[Widening]) -> Widening | None:
    """What is due in a study; None while it searches, or if nothing can be moved or nobody could pay for a trial then.

    `plan` is the study's after what was widened in it `before`.
    """
    over = all(ledger.search_is_over for ledger in ledgers.values())
    if not plan.widen or len(before) >= MOST or not over:
        return None
    moved: dict[tuple[str, str], Moved] = {}
    for ledger in ledgers.values():
        if not ledger.candidates:
            continue
        for edge in edges(plan, ledger.method.name, ledger.candidates[0].spec.settings):
            for found in _moved(plan, ledger.method, edge.setting, is_lower=edge.is_lower):
                moved.setdefault((found.table, found.setting), found)
    if not moved:
        return None
    first = plan.trials - sum(widening.trials for widening in before)
    found = Widening(study=plan.study_number, moved=tuple(moved.values()), trials=math.ceil(SHARE * first))
    wider = widened(plan, [found])
    return found if any(ledger.may_start_in(wider) for ledger in ledgers.values()) else None


def _moved(plan: Plan, method: Method, setting: str, *, is_lower: bool) -> list[Moved]:
    """That end of a range moved, in every table from which a method of the sweep has this very range."""
    space = plan.space
    dimension = space.dimensions(method)[setting]
    new = _further(dimension, is_lower=is_lower) if isinstance(dimension, Interval) else None
    if new is None:
        return []
    assert isinstance(dimension, Interval)
    old = (dimension.low, dimension.high)
    tables = {space.table_of(method, setting)}
    for other in map(plan.method, plan.methods):
        related = other.name in method.ancestors or method.name in other.ancestors
        theirs = space.dimensions(other).get(setting)
        if related and isinstance(theirs, Interval) and (theirs.low, theirs.high) == old:
            tables.add(space.table_of(other, setting))
    return [Moved(table=table, setting=setting, old=old, new=new) for table in sorted(tables)]


def _further(dimension: Interval, *, is_lower: bool) -> tuple[float, float] | None:
    """The range with one end moved; None if it is at its limit, or has none."""
    if dimension.limits is None:
        return None
    low, high = dimension.low, dimension.high
    if dimension.log:
        factor = (high / low) ** SHARE
        moved = (low / factor, high) if is_lower else (low, high * factor)
    else:
        step = SHARE * (high - low)
        step = max(1, round(step)) if dimension.integer else step
        moved = (low - step, high) if is_lower else (low, high + step)
    within = (max(moved[0], dimension.limits[0]), min(moved[1], dimension.limits[1]))
    return within if within != (low, high) else None


def has_room(plan: Plan, edge: Edge) -> bool:
    """Whether the range at whose end a winner lies may be moved further there."""
    dimension = plan.space.dimensions(plan.method(edge.method))[edge.setting]
    return isinstance(dimension, Interval) and _further(dimension, is_lower=edge.is_lower) is not None


def widened(plan: Plan, widenings: Sequence[Widening]) -> Plan:
    """The plan of a study after what was widened in it, its ranges and its cap."""
    for widening in widenings:
        ranges = {(moved.table, moved.setting): moved.new for moved in widening.moved}
        plan = replace(plan, space=with_ranges(plan.space, ranges), trials=plan.trials + widening.trials)
    return plan


def of_study(trials: Iterable[TrialRecord], study: int) -> list[Widening]:
    """What was widened in a study, as its trials have it on record."""
    return [Widening.from_dict(trial.widened) for trial in trials if trial.widened and trial.study == study]


def study_plan(plan: Plan, study: int, trials: Iterable[TrialRecord]) -> Plan:
    """The plan of one study of a sweep, with all that was widened in it."""
    return widened(plan.study(study), of_study(trials, study))


def widest(plan: Plan, widenings: Sequence[Widening]) -> Plan:
    """The sweep's plan with the widest range that any study has of each setting, for what looks at all of them."""
    ranges: dict[tuple[str, str], tuple[float, float]] = {}
    for widening in widenings:
        for moved in widening.moved:
            low, high = ranges.get((moved.table, moved.setting), moved.new)
            ranges[moved.table, moved.setting] = (min(low, moved.new[0]), max(high, moved.new[1]))
    return replace(plan, space=with_ranges(plan.space, ranges)) if ranges else plan


def check_limits(plan: Plan) -> None:
    """Raise `InvalidInput` if no range of a sweep with --widen has limits, or if it could not be run at these."""
    if not plan.widen:
        return
    methods = [plan.method(name) for name in plan.methods]
    known = limits(plan.space)
    if not any(
        (plan.space.table_of(method, setting), setting) in known
        for method in methods
        for setting, dimension in plan.space.dimensions(method).items()
        if isinstance(dimension, Interval)
    ):
        raise InvalidInput(
            f"--widen: no range in {plan.space.source} has limits, between which it may be moved; add them, as in "
            "lr = { log = [0.01, 1.0], published = 0.1, limits = [1e-3, 10.0] }"
        )
    at_limits = with_ranges(plan.space, known)
    for method in methods:
        at_limits.check_rungs(method)
