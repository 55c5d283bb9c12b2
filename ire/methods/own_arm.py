"""An arm of a training function: the script defines what its name and settings mean.

Two settings of such an arm also have a meaning here. `optimizer` names the method that `Trial.build_optimizer` builds,
by default the method with the arm's name, if there is one. `gradients_per_step` is the maximum cost of a step, in
gradients of a full batch, by default the cost of the method, or one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ire.invalid_input import InvalidInput
from ire.methods.composed import Method
from ire.methods.method import parse_method
from ire.methods.part import Base, Part
from ire.methods.setting import Setting, Value

OPTIMIZER, GRADIENTS = "optimizer", "gradients_per_step"


@dataclass(frozen=True, kw_only=True)
class OwnArm(Method):
    """An arm whose settings are defined only in the space file: any number, string or Boolean is allowed."""

    @property
    def hues(self) -> None:
        return None

    @property
    def parts(self) -> tuple[Part, ...]:
        return ()

    @property
    def ancestors(self) -> tuple[str, ...]:
        return ()

    @property
    def settings(self) -> dict[str, Setting]:
        return {}

    @property
    def options(self) -> dict[str, Setting]:
        return {}

    def check(self, settings: Mapping[str, Any], *, where: str = "") -> None:
        """Raise `InvalidInput` for a value that the records cannot hold."""
        for name, value in settings.items():
            check_value(name, value, where=where)

    def resolve(self, settings: Mapping[str, Any], *, where: str = "") -> dict[str, Value]:
        """The settings, unchanged."""
        self.check(settings, where=where)
        return dict(settings)

    def gradient_evaluations(
        self,
        settings: Mapping[str, Any],
        horizon: int,
        *,
        steps: int | None = None,
        start: int | None = None,
    ) -> int:
        """The maximum cost of the first `steps` of a trial (by default all), in gradients of a full batch."""
        steps = horizon if steps is None else steps
        if GRADIENTS in settings:
            return math.ceil(steps * settings[GRADIENTS] - 1e-9)
        found = optimizer_of(self.name, settings)
        return found[0].gradient_evaluations(found[1], horizon, steps=steps, start=start) if found else steps


def own_arm(name: str) -> OwnArm:
    """The arm of that name."""
    return OwnArm(
        base=Base(name=name, words="an arm of the training function", constructor="", state_tensors=0)
    )


def optimizer_of(arm: str, settings: Mapping[str, Any]) -> tuple[Method, dict[str, Value]] | None:
    """The method from which an arm builds its optimizer, and the method's settings; None without one.

    Raises `InvalidInput` if the setting `optimizer` names none, or a setting of the method is missing or wrong.
    """
    if OPTIMIZER in settings:
        method = parse_method(settings[OPTIMIZER], where=f"{OPTIMIZER} of {arm}")
    else:
        try:
            method = parse_method(arm)
        except InvalidInput:
            return None
    known = method.settings | method.options
    own = {name: value for name, value in settings.items() if name in known}
    try:
        return method, method.resolve(own, where=arm)
    except InvalidInput:
        if OPTIMIZER in settings:
            raise
        return None  # it only shares a method's name


def check_value(name: str, value: Any, *, where: str = "") -> Any:
    """`value` itself; raises `InvalidInput` unless it is a finite number, a string or a Boolean."""
    place = f" in {where}" if where else ""
    if not isinstance(value, bool | int | float | str) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        raise InvalidInput(f"{name} = {value!r}{place}: must be a finite number, a string or a Boolean")
    if name == GRADIENTS and (isinstance(value, bool | str) or value <= 0):
        raise InvalidInput(
            f"{name} = {value!r}{place}: must be a number above 0, in gradients of a full batch"
        )
    return value
