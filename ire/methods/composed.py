"""A method composed of parts, from which its name, settings and cost follow.

A method is a base optimizer, optionally with SAM around it, and optionally with IRE or a control of IRE around that.
Between base and IRE there may be an update: how a batch becomes a step.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ire.invalid_input import InvalidInput, unknown
from ire.methods.ire import CONTROLS, IRE, UNMASKED
from ire.methods.part import Base, Part, Update
from ire.methods.registry import bases
from ire.methods.sam import SAM
from ire.methods.setting import Setting, Value
from ire.methods.shared import SHARED
from ire.methods.task_settings import check_of_task, is_of_task
from ire.methods.updates import MICRO, UPDATES


@dataclass(frozen=True, kw_only=True)
class Method:
    """One arm: a base optimizer, optionally SAM around it, and optionally IRE or a control of IRE around that."""

    base: Base
    update: str | None = None
    """A key of `UPDATES`; None means the gradient of the whole batch."""
    sam: bool = False
    ire: bool = False
    control: str | None = None

    @property
    def name(self) -> str:
        """The method's only name: `sam-adamw-ire-random`."""
        control = f"-{self.control}" if self.control else ""
        update = f"-{self.update}" if self.update else ""
        return f"{'sam-' if self.sam else ''}{self.base.name}{update}{'-ire' if self.ire else ''}{control}"

    @property
    def label(self) -> str:
        """The name in tables and figures; a class with a short name has only that."""
        return self.name.replace(self.base.name, self.base.label, 1)

    @property
    def slug(self) -> str:
        """The name as a part of file names."""
        return self.label.replace(":", ".")

    @property
    def description(self) -> str:
        """A few words for `ire methods`."""
        words = f"SAM around {self.base.words}" if self.sam else self.base.words
        words = UPDATES[self.update].words if self.update else words
        words = f"IRE around {f'sgd-{self.update}' if self.update else words}" if self.ire else words
        return f"{words}; control: {CONTROLS[self.control]}" if self.control else words

    @property
    def hues(self) -> tuple[str, str] | None:
        """Its colour in figures, and that of IRE around it; None if it has none, and for controls."""
        if self.control or self.update:
            return None
        return self.base.sam_hues if self.sam else self.base.hues

    @property
    def state_bytes(self) -> float:
        """Bytes of state per parameter in single precision: the base optimizer's tensors, and IRE's mask."""
        return 4 * self.base.state_tensors + (self.ire and self.control not in UNMASKED)

    @property
    def is_ours(self) -> bool:
        """Whether its base optimizer comes with the package."""
        return self.base.name in bases()

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its parts, from the general to the special."""
        update = [MICRO, self._update] if self._update else []
        return (SHARED, self.base, *update, *([SAM] if self.sam else []), *([IRE] if self.ire else []))

    @property
    def _update(self) -> Update | None:
        return UPDATES[self.update] if self.update else None

    @property
    def differentiates_twice(self) -> bool:
        """Whether it differentiates a gradient, which a compiled model does not support."""
        return self._update is not None and self._update.is_penalty

    @property
    def ancestors(self) -> tuple[str, ...]:
        """Itself and the methods it is built from, general first: sgd, sam-sgd, sam-sgd-ire; sgd, sgd-large, sgd-gn."""
        chain = [Method(base=self.base)]
        if self._update:
            chain += [replace(chain[-1], update=name) for name in (*self._update.needs, self.update)]
        if self.sam:
            chain.append(replace(chain[-1], sam=True))
        if self.ire:
            chain.append(replace(chain[-1], ire=True))
        if self.control:
            chain.append(self)
        return tuple(method.name for method in chain)

    @property
    def settings(self) -> dict[str, Setting]:
        """Every setting it takes."""
        taken = {name: setting for part in self.parts for name, setting in part.settings.items()}
        if self.control == "all":  # needs no gamma
            del taken["gamma"]
        if self.base.schedules:
            taken["schedule"] = replace(
                SHARED.options["schedule"],
                default=self.base.schedules[0],
                choices=self.base.schedules,
                read=None,
            )
        return {name: setting for name, setting in taken.items() if name not in self.base.lacks}

    @property
    def options(self) -> dict[str, Setting]:
        """Settings that a trial only has if they are given."""
        offered = {name: setting for part in self.parts for name, setting in part.options.items()}
        return {
            name: setting
            for name, setting in offered.items()
            if name not in self.settings and name not in self.base.lacks
        }

    def check(self, settings: Mapping[str, Any], *, where: str = "") -> None:
        """Raise `InvalidInput` unless every one of the given `settings` is known and in range."""
        known = self.settings | self.options
        for name, value in settings.items():
            if is_of_task(name):
                check_of_task(name, value, where=where)
                continue
            if name not in known:
                raise unknown(f"setting of {self.name}", name, known, where=where)
            known[name].check(name, value, where=where)

    def resolve(self, settings: Mapping[str, Any], *, where: str = "") -> dict[str, Value]:
        """All settings in a fixed order with defaults filled in, then the given options and attributes of the task.

        Raises `InvalidInput` if one is missing or wrong.
        """
        self.check(settings, where=where)
        resolved: dict[str, Value] = {}
        for name, setting in self.settings.items():
            value = settings.get(name, setting.default)
            if value is None:
                raise InvalidInput(f"{self.name} needs {name} ({setting.doc}, in {setting.interval})")
            resolved[name] = setting.check(name, value, where=where)
        given = {name: option for name, option in self.options.items() if name in settings}
        resolved |= {name: option.check(name, settings[name]) for name, option in given.items()}
        return resolved | {name: value for name, value in settings.items() if is_of_task(name)}

    def schedule(self, settings: Mapping[str, Any], of_sweep: str) -> str:
        """The shape of the learning rate: from its own setting if it has one, else that of the sweep."""
        return settings.get("schedule", of_sweep)

    @property
    def needs_curvature(self) -> bool:
        """Whether the mask costs a sampled-label backward every `interval` steps."""
        return self.ire and self.control in (None, "sharpest")

    def boost(self, settings: Mapping[str, Any]) -> tuple[float, float]:
        """The kappa and gamma that IRE gets for these settings, with the control's changes."""
        kappa, gamma = settings["kappa"], settings.get("gamma", 1.0)
        if self.control == "mean":
            kappa *= gamma
        return kappa, 1.0 if self.control in UNMASKED else gamma

    def start(self, settings: Mapping[str, Any], horizon: int) -> int:
        """The optimizer step at which IRE's boost begins at the latest; the horizon for a method without IRE.

        With a `start_loss` the boost may begin earlier (`trainables.training.start`).
        """
        return round(settings["start_fraction"] * horizon) if self.ire else horizon

    def gradients_per_step(self, settings: Mapping[str, Any]) -> int:
        """The cost of one step of the task, in gradients of a full batch, masks excluded.

        One, for any number of micro-batches; two with SAM. A penalty costs three: the gradient that it
        measures, and a product with a matrix of second derivatives, which counts as two.
        """
        if self.differentiates_twice:
            return 3 if settings["lambda"] > 0 else 1
        return self.base.gradients * (2 if self.sam else 1)

    def optimizer_steps(self, settings: Mapping[str, Any], batch_size: int) -> int:
        """Optimizer steps in one step of the task: with small batches, one for each micro-batch."""
        return -(-batch_size // int(settings["micro_batch"])) if self.update == "small" else 1

    def gradient_evaluations(
        self,
        settings: Mapping[str, Any],
        horizon: int,
        *,
        steps: int | None = None,
        start: int | None = None,
    ) -> int:
        """The cost of the first `steps` of a trial (by default all), in gradients of a full batch.

        A step costs `gradients_per_step`; a mask costs one more every `interval` steps from `start` on. If the start
        waits for a loss and is not given, this is the maximum cost.
        """
        if start is None:
            start = 0 if settings.get("start_loss") else self.start(settings, horizon)
        steps = horizon if steps is None else steps
        cost = steps * self.gradients_per_step(settings)
        if self.needs_curvature and settings["kappa"] > 0 and settings["gamma"] < 1:
            boosted = max(0, steps - start)
            cost += -(-boosted // int(settings["interval"]))
        if self.base.curvature_interval:
            cost += -(-steps // int(settings[self.base.curvature_interval]))
        return cost
