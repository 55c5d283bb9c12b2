"""Checks the steps that a training function takes and reports, with one clear line for each mistake."""

import operator
from typing import Any

from ire.invalid_input import InvalidInput
from ire.trial.spec import TrialSpec


def checked_step(step: Any, spec: TrialSpec) -> int:
    """`step` as a Python integer; raises `InvalidInput` if it is not one, or lies past the horizon."""
    try:
        taken = operator.index(step)
    except TypeError:
        taken = 0
    if taken < 1 or isinstance(step, bool):
        raise InvalidInput(f"step = {step!r}: must be the number of optimizer steps taken, at least 1")
    if taken > spec.horizon:
        raise InvalidInput(
            f"the function continued to step {taken}, past the horizon of {spec.horizon} steps: end its loop at "
            "trial.horizon"
        )
    return taken


def check_due(step: int, spec: TrialSpec, *, reported: int) -> None:
    """Raise `InvalidInput` unless the report at `step` is the next one that is due after the step `reported`."""
    if step <= reported:
        raise InvalidInput(
            f"trial.report({step}): step {reported} has been reported already; steps must rise from report to report"
        )
    if not spec.reports_at(step):
        raise InvalidInput(
            f"trial.report({step}): no report is due at that step; report if trial.due(step), which is true every "
            f"{spec.eval_interval} steps, and at {spec.horizon}"
        )
    left_out = next((earlier for earlier in range(reported + 1, step) if spec.reports_at(earlier)), None)
    if left_out is not None:
        raise InvalidInput(
            f"trial.report({step}): the report at step {left_out} was due, but is missing; check "
            "trial.due(step) after every step, from trial.first_step on"
        )


def check_over(name: str, spec: TrialSpec, *, reported: int) -> None:
    """Raise `InvalidInput` because the function `name` returned before its trial was over."""
    at = f"its last report was at step {reported}" if reported else "it never reported"
    raise InvalidInput(
        f"{name} returned before its trial was over: the horizon is {spec.horizon} steps, but {at}; report at every "
        "step for which trial.due(step) is true, up to trial.horizon, and leave out early stopping of its own"
    )
