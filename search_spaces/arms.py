"""The arms of a training function, as a space file names them: `[arms.NAME]`, settings of any kind.

    [arms.baseline]
    role = "baseline"
    lr = { log = [1e-4, 1e-2], published = 1e-3 }
    [arms.mine]
    lr = { log = [1e-4, 1e-2], published = 1e-3 }
    pooling = { choice = ["mean", "max"], published = "mean" }

The script decides what names and settings mean; `ire.methods.own_arm` lists two settings that also have a meaning here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ire.invalid_input import InvalidInput
from ire.methods.own_arm import GRADIENTS, OwnArm, check_value, optimizer_of, own_arm
from ire.plain_values import is_table
from search_spaces.dimensions import Dimension, Fixed, ends, read_dimension

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.+-]{0,39}")
SETTING = re.compile(r"[A-Za-z_]\w*")
BASELINE = "baseline"

TRIALS, BUDGET_PER_TRIAL, STARTUP_TRIALS = 16, 0.75, 5
"""Defaults of the search of a space with arms; it then has one rung, at half the horizon."""
SEEDS, CANDIDATES, STUDIES = 5, 3, 3
"""Defaults of its confirm stage."""


@dataclass(frozen=True, kw_only=True)
class ArmSpace:
    """One arm: whether it is a baseline, and its dimensions."""

    arm: OwnArm
    is_baseline: bool
    dimensions: Mapping[str, Dimension]

    @property
    def published(self) -> dict[str, Any]:
        return {name: dimension.published for name, dimension in self.dimensions.items()}


def read_arms(table: Any, *, source: str) -> dict[str, ArmSpace]:
    """The arms of a space file, by name; raises `InvalidInput`."""
    if not is_table(table) or not all(is_table(value) for value in table.values()):
        raise InvalidInput(f"{source}: [arms] must hold one table for each arm: [arms.NAME]")
    arms = {name: _arm(name, entries, source=source) for name, entries in table.items()}
    if len(arms) > 1 and not any(arm.is_baseline for arm in arms.values()):
        raise InvalidInput(
            f"{source}: none of the arms {', '.join(arms)} is the baseline that the others are compared with: write "
            f'role = "{BASELINE}" in its table'
        )
    return arms


def _arm(name: str, entries: Mapping[str, Any], *, source: str) -> ArmSpace:
    where = f"{source}, [arms.{name}]"
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"{where}: must be at most 40 letters, digits and . _ + -, the first a letter: it is part of file names"
        )
    role = entries.get("role")
    if role not in (None, BASELINE):
        raise InvalidInput(f'{where}: role = {role!r}: must be "{BASELINE}", or left out')
    dimensions: dict[str, Dimension] = {}
    for key, value in entries.items():
        if key == "role":
            continue
        if not SETTING.fullmatch(key):
            raise InvalidInput(f"{where}: {key!r}: a setting's name must be letters, digits and _")
        dimensions[key] = read_dimension(value, where=f"{where}, {key}")
        for end in ends(dimensions[key]):
            check_value(key, end, where=where)
    if GRADIENTS in dimensions and not isinstance(dimensions[GRADIENTS], Fixed):
        raise InvalidInput(f"{where}: {GRADIENTS} is searched: the maximum cost of a step must be one number")
    found = ArmSpace(arm=own_arm(name), is_baseline=role == BASELINE, dimensions=dimensions)
    optimizer_of(name, found.published)
    return found


def default_search(horizon: int, eval_interval: int) -> dict[str, Any]:
    """The defaults of `[search]` in a file with arms: one rung, at the report nearest to half the horizon."""
    rung = round(horizon / 2 / eval_interval) * eval_interval
    return {
        "trials": TRIALS,
        "budget_per_trial": BUDGET_PER_TRIAL,
        "rungs": [rung] if 0 < rung < horizon else [],
        "startup_trials": STARTUP_TRIALS,
    }


def default_confirm() -> dict[str, Any]:
    """The defaults of `[confirm]` in a file with arms; flatness is only measured for tasks."""
    return {"seeds": SEEDS, "candidates": CANDIDATES, "studies": STUDIES, "flatness_batches": 0}
