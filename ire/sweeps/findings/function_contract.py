"""The clauses of the fairness contract for a training function: findings of its probe, and what cannot be checked."""

from collections.abc import Iterator

from ire.sweeps.findings.clause import Clause, same_range
from ire.sweeps.plan.plan import Plan
from search_spaces import Fixed

UNCHECKED = "cannot be checked"


def is_function(plan: Plan) -> bool:
    """Whether a sweep runs a training function rather than a task."""
    return plan.paired is not None or bool(plan.space.arms)


def function_clauses(plan: Plan) -> Iterator[Clause]:
    """The additional clauses for a training function; none for a task."""
    if not is_function(plan):
        return
    yield Clause(
        name="form",
        kept=True,
        text=f"{plan.task} is a training function: an interrupted trial continues from the state that the function "
        "saved, or starts from the beginning",
    )
    yield Clause(
        name="pairs",
        kept=True if plan.paired else None,
        word="" if plan.paired else "not paired" if plan.paired is False else UNCHECKED,
        text="equal seeds give equal first losses: runs of two arms with the same seed are compared in pairs"
        if plan.paired
        else "not paired by seed: equal seeds gave different first losses, so intervals treat runs as independent"
        if plan.paired is False
        else "the function was not probed",
    )
    if plan.seeded is not None:
        yield Clause(
            name="fresh seeds",
            kept=plan.seeded,
            text="another seed gives other losses: runs on fresh seeds are independent"
            if plan.seeded
            else "another seed gives the same losses: runs on fresh seeds repeat one run",
        )
    yield Clause(
        name="batches",
        kept=None,
        word=UNCHECKED,
        text="whether batch t depends only on the seed and t, in every arm; the function makes the batches",
    )
    yield Clause(
        name="gradients",
        kept=None,
        word=UNCHECKED,
        text="whether a step costs as many gradients as the space states and the function counts",
    )


def differing_ranges(plan: Plan) -> list[str]:
    """Settings of equal name whose range differs between an arm and a baseline; unfair if the meaning is the same."""
    found: list[str] = []
    for name in plan.methods:
        arm = plan.method(name)
        if plan.is_baseline(arm):
            continue
        mine = plan.space.dimensions(arm)
        for base in (each for each in map(plan.method, plan.methods) if plan.is_baseline(each)):
            theirs = plan.space.dimensions(base)
            found += [
                f"{setting} of {name} ({mine[setting]}) and of {base.name} ({theirs[setting]})"
                for setting in theirs
                if setting in mine
                and not isinstance(mine[setting], Fixed)
                and not isinstance(theirs[setting], Fixed)
                and not same_range(mine[setting], theirs[setting])
            ]
    return found
