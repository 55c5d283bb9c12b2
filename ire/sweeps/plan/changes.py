"""What may change between two runs of one sweep, and what may not: more of the same, never something else."""

import hashlib
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from ire.invalid_input import InvalidInput
from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import Records

FIXED = (
    *("task", "seed", "workers", "cpus_per_worker", "gpus_per_worker", "external"),
    *("precision", "compile", "micro_batches", "schedule"),
)
"""Fields of the plan that results depend on, beside the space."""


def identity(plan: Plan) -> dict[str, Any]:
    """What every trial of a sweep has in common; recorded with each run."""
    text = hashlib.sha256(plan.space.text.encode()).hexdigest()[:12]
    return {name: getattr(plan, name) for name in FIXED} | {
        "horizon": plan.space.horizon,
        "rungs": list(plan.space.search.rungs),
        "space": text,
    }


def check_identity(plan: Plan, records: Records, *, source: str) -> None:
    """Raise `InvalidInput` if `sweep.toml` was changed in what would make old and new trials incomparable."""
    if not records.runs:
        return
    before, now = records.runs[0]["identity"], identity(plan)
    changed = [
        f"{name} was {before[name]!r}, is {now[name]!r}" for name in now if before.get(name) != now[name]
    ]
    if changed:
        raise InvalidInput(
            f"{source}: {'; '.join(changed)}: its new trials could not be compared with those on record; "
            "put it back, or start another sweep"
        )


def extended(
    plan: Plan,
    *,
    trials: int | None = None,
    methods: Sequence[str] | None = None,
    confirm_seeds: int | None = None,
    curve: Sequence[float] = (),
    **others: Any,
) -> Plan:
    """`plan` with a larger budget, more methods, seeds or horizons, or other values of `others`; raises `InvalidInput`.

    `methods` and `curve` are added to those that there are. `others` are fields of the plan; None leaves one as it is.
    """
    for name, value in (("trials", trials), ("confirm_seeds", confirm_seeds)):
        if value is not None and value < getattr(plan, name):
            raise InvalidInput(
                f"--{name.replace('_', '-')} {value}: the sweep has {getattr(plan, name)} already; a budget can be "
                "raised, not lowered"
            )
    names = {field.name for field in fields(plan)}
    changes = {name: value for name, value in others.items() if value is not None}
    assert set(changes) <= names - {*FIXED, "space", "name"}, changes
    added = [name for name in methods or () if name not in plan.methods]
    larger = replace(
        plan,
        trials=trials or plan.trials,
        methods=(*plan.methods, *added),
        confirm_seeds=plan.confirm_seeds if confirm_seeds is None else confirm_seeds,
        curve=tuple(sorted({*plan.curve, *curve})),
        **changes,
    )
    larger.check()
    return larger
