"""Moves the end of a range at which a winner lies, within the limits in the space file (`--widen`).

When every search of a study is over and a method's best trial lies at an end of a range, that end is moved by half of
the range, for all methods that share the range, and every method of the study may run half as many search trials again.
So the winners of a study lie inside their ranges, or at limits that the user set. Each study widens separately, since
widening is part of the search and studies are independent searches. It does not depend on verdicts.
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
"""Maximum number of widenings in a study."""
SHARE = 0.5
"""Share of a range, on its own scale, by which an end is moved; and share of `trials` by which their maximum rises."""


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A range that was moved."""

    table: str
    """Its table in the space file, as `shared` or `methods.sgd-ire`."""
    setting: str
    old: tuple[float, float]
    new: tuple[float, float]

    def __str__(self) -> str:
        old, new = (", ".join(f"{end:.3g}" for end in ends) for ends in (self.old, self.new))
        return f"{self.setting} [{old}] -> [{new}]"


@dataclass(frozen=True, kw_only=True)
class Widening:
    """Ranges moved together in one study, and the search trials that every method gained by it."""

    study: int
    moved: tuple[Moved, ...]
    trials: int

    def to_dict(self) -> dict[str, Any]:
        """The form in the records."""
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
    """The widening that is due in a study; None while it searches, or if no range can be moved or no budget is left.

    `plan` is the study's plan after the widenings `before`.
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
    """That end of a range moved, in every table from which a method of the sweep takes the same range."""
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
    """The range with one end moved; None if that end is at its limit, or the range has no limits."""
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
    """Whether the end of a range at which a winner lies may be moved further."""
    dimension = plan.space.dimensions(plan.method(edge.method))[edge.setting]
    return isinstance(dimension, Interval) and _further(dimension, is_lower=edge.is_lower) is not None


def widened(plan: Plan, widenings: Sequence[Widening]) -> Plan:
    """The plan of a study after its widenings, with wider ranges and more trials."""
    for widening in widenings:
        ranges = {(moved.table, moved.setting): moved.new for moved in widening.moved}
        plan = replace(plan, space=with_ranges(plan.space, ranges), trials=plan.trials + widening.trials)
    return plan


def of_study(trials: Iterable[TrialRecord], study: int) -> list[Widening]:
    """The widenings of a study, from the records of its trials."""
    return [Widening.from_dict(trial.widened) for trial in trials if trial.widened and trial.study == study]


def study_plan(plan: Plan, study: int, trials: Iterable[TrialRecord]) -> Plan:
    """The plan of one study of a sweep after all its widenings."""
    return widened(plan.study(study), of_study(trials, study))


def widest(plan: Plan, widenings: Sequence[Widening]) -> Plan:
    """The sweep's plan with the widest range of each setting in any study, for views of all studies."""
    ranges: dict[tuple[str, str], tuple[float, float]] = {}
    for widening in widenings:
        for moved in widening.moved:
            low, high = ranges.get((moved.table, moved.setting), moved.new)
            ranges[moved.table, moved.setting] = (min(low, moved.new[0]), max(high, moved.new[1]))
    return replace(plan, space=with_ranges(plan.space, ranges)) if ranges else plan


def check_limits(plan: Plan) -> None:
    """Raise `InvalidInput` if a sweep with --widen has no range with limits, or could not run at these limits."""
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
            f"--widen: no range in {plan.space.source} has limits within which it may be moved; add them, as in "
            "lr = { log = [0.01, 1.0], published = 0.1, limits = [1e-3, 10.0] }"
        )
    at_limits = with_ranges(plan.space, known)
    for method in methods:
        at_limits.check_rungs(method)
