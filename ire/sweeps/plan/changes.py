"""What a resume may change in a sweep: it may add to the sweep, but not make trials incomparable."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from ire.invalid_input import InvalidInput
from ire.methods.method import named
from ire.sweeps.plan.options import FIXED, PLANNED, RESUMED
from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import Records
from ire.trial.script import is_script


def identity(plan: Plan) -> dict[str, Any]:
    """The properties that all trials of a sweep share; recorded with each run."""
    text = hashlib.sha256(plan.space.text.encode()).hexdigest()[:12]
    return {name: getattr(plan, name) for name in FIXED} | {
        "horizon": plan.space.horizon,
        "rungs": list(plan.space.search.rungs),
        "space": text,
        "data": plan.data,
    }


def check_identity(plan: Plan, records: Records, *, source: str) -> None:
    """Raise `InvalidInput` if `sweep.toml` was changed so that old and new trials would be incomparable."""
    if not records.runs:
        return
    before, now = records.runs[0]["identity"], identity(plan)
    older = {name: option.default for name, option in PLANNED.items()}  # of options newer than the records
    before = {name: before.get(name, older.get(name)) for name in now}
    changed = [f"{name} was {before[name]!r}, is {now[name]!r}" for name in now if before[name] != now[name]]
    if changed:
        raise InvalidInput(
            f"{source}: {'; '.join(changed)}: new trials could not be compared with the recorded ones; "
            "undo the change, or start another sweep"
        )


def changed_space(plan: Plan) -> Path | None:
    """The space file beside a script, if it no longer has the text that the sweep began with."""
    if not (is_script(plan.task) and plan.import_path):
        return None
    file = (Path(plan.import_path[0]) / plan.task.partition(":")[0]).with_suffix(".toml")
    given = [part for part in Path(plan.space.source).parts if part != ".."]
    if list(file.parts[-len(given) :]) != given or not file.is_file():  # one of that name may lie elsewhere
        return None
    return None if file.read_text(encoding="utf-8", errors="replace") == plan.space.text else file


def extended(plan: Plan, **changes: Any) -> Plan:
    """`plan` with the changes of a resume; raises `InvalidInput`.

    Lists grow, switches are turned on, budgets are raised; a change that is None or false changes nothing.
    """
    larger: dict[str, Any] = {}
    for name, value in changes.items():
        option, old = RESUMED[name], getattr(plan, name)
        if value is None or value is False:
            continue
        value = option.taken(value)
        if option.item is not None:
            option.check(value)
            added = (*old, *(item for item in dict.fromkeys(value) if item not in old))
            value = added if option.item is str else tuple(sorted(added))
        elif option.resume and option.resume.raised and old is not None and value < old:
            raise InvalidInput(
                f"{option.dashed} {value}: the sweep already has {old}; a budget can be raised, not lowered"
            )
        larger[name] = named(value) if name == "methods" else value
    plan = replace(plan, **larger)
    plan.check()
    return plan
