"""What the fairness contract says of a training function: what its probe has found, and what nobody can check."""

from collections.abc import Iterator

from ire.sweeps.findings.clause import Clause, same_range
from ire.sweeps.plan.plan import Plan
from search_spaces import Fixed

UNCHECKED = "cannot be checked"


def is_function(plan: Plan) -> bool:
    """Whether a sweep is of a training function, and not of a task."""
    return plan.paired is not None or bool(plan.space.arms)


def function_clauses(plan: Plan) -> Iterator[Clause]:
    """The further clauses of a sweep of a training function; none for a task."""
    if not is_function(plan):
        return
    yield Clause(
        name="form",
        kept=True,
        text=f"{plan.task} is a training function: an interrupted trial continues from what the function saved, or "
        "starts from the beginning",
    )
    yield Clause(
        name="pairs",
        kept=True if plan.paired else None,
        word="" if plan.paired else "not paired" if plan.paired is False else UNCHECKED,
        text="the same seed gives the same first losses: runs of two arms on one seed are compared as a pair"
        if plan.paired
        else "not paired by seed: the same seed gave other first losses, so intervals treat runs as unrelated"
        if plan.paired is False
        else "the function was not probed",
    )
    if plan.seeded is not None:
        yield Clause(
            name="fresh seeds",
            kept=plan.seeded,
            text="another seed gives other losses: runs on fresh seeds are draws"
            if plan.seeded
            else "another seed gives the same losses: runs on fresh seeds are one run, repeated",
        )
    yield Clause(
        name="batches",
        kept=None,
        word=UNCHECKED,
        text="that batch t depends on the seed and t alone, in every arm; it is the function's own",
    )
    yield Clause(
        name="gradients",
        kept=None,
        word=UNCHECKED,
        text="that a step costs the gradients which the space says and the function counts",
    )


def differing_ranges(plan: Plan) -> list[str]:
    """Settings of one name that an arm searches in another range than a baseline; with one meaning it is unfair."""
    found = []
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
