"""Takes search trials from another experiment, whose space is that of the sweep or a part of it (`--warm-start`).

The sampler learns from them, and the best trial of each method runs again right after the published settings, with the
seeds and the split of each study. Their cost counts as spent by the search of their method.
"""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from ire.invalid_input import InvalidInput
from ire.sweeps.plan.imported import Imported, ImportedTrial
from ire.sweeps.plan.plan import Plan, read_plan
from ire.sweeps.records.open_home import home_at
from ire.sweeps.records.records import DIVERGED, FINISHED, SEARCH, TrialRecord, read_records
from search_spaces.conditions import active
from search_spaces.dimensions import holds


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """A plan with imported trials, and a line for the user about them."""

    plan: Plan
    words: str


def warm_started(plan: Plan, *, trust: bool = False) -> WarmStart:
    """`plan` with the trials of the experiment `plan.warm_start`; raises `InvalidInput` if none is applicable.

    Only finished and diverged search trials are taken, since the final loss of a pruned trial is unknown.
    """
    assert plan.warm_start is not None
    try:
        home = home_at(plan.warm_start)
        other = read_plan(home.folder, trust=trust)
    except InvalidInput as error:
        raise InvalidInput(f"--warm-start: {error}") from error
    where = f"--warm-start {home.location}"
    if plan.space.search.grid:
        raise InvalidInput(f"{where}: a grid tries all of its points anyway; leave the option out")
    differing = [
        f"{what} {mine!r}, there {theirs!r}" for what, mine, theirs in _fixed(plan, other) if mine != theirs
    ]
    if differing:
        raise InvalidInput(f"{where}: its trials do not apply to this sweep: {'; '.join(differing)}")
    records = read_records(home.folder)
    spent, seen = Counter[str](), Counter[str]()
    found: list[ImportedTrial] = []
    for trial in records.trials.values():
        if trial.stage != SEARCH or trial.arm not in plan.methods:
            continue
        spent[trial.arm] += trial.gradient_evaluations
        seen[trial.arm] += 1
        if trial.status in (FINISHED, DIVERGED) and (taken := _taken(plan, trial)):
            found.append(taken)
    if not found:
        raise InvalidInput(
            f"{where}: none of its search trials has ended, belongs to {', '.join(plan.methods)} and lies in the "
            "ranges of this sweep"
        )
    imported = Imported(source=other.name, spent=dict(spent), trials=tuple(found))
    counts = ", ".join(
        f"{name} {len(imported.of(name))} of {seen[name]}" for name in plan.methods if seen[name]
    )
    return WarmStart(
        plan=replace(plan, imported=imported),
        words=f"warm start from {other.name}: {counts} search trials, at a cost of {sum(spent.values())} gradient "
        "evaluations; the others were pruned, failed, or lie outside the ranges of this sweep",
    )


def _fixed(plan: Plan, other: Plan) -> list[tuple[str, Any, Any]]:
    """What the trials of both sweeps must have in common: its name, and the value in each plan."""
    both = plan.data is not None and other.data is not None
    metric, theirs = plan.space.metric, other.space.metric
    return [
        ("task", plan.task, other.task),
        ("horizon", plan.space.horizon, other.space.horizon),
        ("metric", f"{metric.name}, {metric.mode}", f"{theirs.name}, {theirs.mode}"),
        ("schedule", plan.schedule or plan.space.schedule, other.schedule or other.space.schedule),
        ("batch_size", plan.space.batch_unit, other.space.batch_unit),
        ("data", plan.data if both else None, other.data if both else None),
    ]


def _taken(plan: Plan, trial: TrialRecord) -> ImportedTrial | None:
    """The trial in the dimensions of this sweep; None if it lies outside of them."""
    method = plan.method(trial.arm)
    dimensions, settings = plan.space.dimensions(method), trial.spec.settings
    if set(settings) - set(dimensions):
        return None  # it has a setting that this space lacks
    known = {name: settings[name] for name in dimensions if name in settings}
    taking_part = active(dimensions, known, where=plan.space.source)
    if not all(holds(dimensions[name], known[name]) for name in taking_part):
        return None
    wanted = set(active(dimensions, {name: d.published for name, d in dimensions.items()} | known))
    if wanted - taking_part:
        return None
    value = trial.final(plan.space.metric.name) if trial.status == FINISHED else None
    return ImportedTrial(
        name=trial.name,
        method=trial.arm,
        settings={name: known[name] for name in dimensions if name in taking_part},
        value=value,
        study=trial.study,
    )
