"""The arms of a comparison by name, composed and not enumerated.

A method is a base optimizer, with `sam-` in front for SAM around it and `-ire` behind for IRE around that;
`-ire-random`, `-ire-sharpest`, `-ire-all` and `-ire-mean` are IRE's controls. Between base and `-ire` may stand how a
batch becomes a step, the methods of Novack et al. 2023: `sgd-small`, `sgd-gn`, `sgd-graft`. A method is the list of
its parts, and its settings are the settings of its parts. This file needs no torch: names and settings can be
checked in milliseconds, long before anything trains.
"""

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ire.invalid_input import InvalidInput, unknown


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting of a method: its default (None: it must be given), its type and its admissible interval."""

    doc: str
    default: float | int | bool | None = None
    type: type = float
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    @property
    def interval(self) -> str:
        """The admissible values in the notation of mathematics: `(0, 1]`."""
        if self.type is bool:
            return "true or false"
        return f"{'(' if self.low_open else '['}{self.low:g}, {self.high:g}{')' if self.high_open else ']'}"

    def check(self, name: str, value: Any, *, where: str = "") -> float | int | bool:
        """`value` as the setting's type; raises `InvalidInput` if it is of another type or out of range."""
        place = f" in {where}" if where else ""
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        if self.type is bool:
            valid = isinstance(value, bool)
        elif self.type is int:
            valid = numeric and math.isfinite(value) and float(value).is_integer()
        else:
            valid = numeric and math.isfinite(value)
        if valid and self.type is not bool:
            valid = (value > self.low if self.low_open else value >= self.low) and (
                value < self.high if self.high_open else value <= self.high
            )
        if not valid:
            kind = {float: "a number", int: "an integer", bool: "a truth value"}[self.type]
            raise InvalidInput(f"{name} = {value!r}{place}: must be {kind} in {self.interval} ({self.doc})")
        return self.type(value)


# The parts a method can be made of. Symbols are the papers'; fractions are of the horizon.
PARTS: dict[str, dict[str, Setting]] = {
    "shared": {
        "lr": Setting(doc="peak learning rate", low=0, low_open=True),
        "weight_decay": Setting(doc="weight decay of the base optimizer", default=0.0, low=0),
        "warmup_fraction": Setting(doc="linear warm-up, share of the horizon", default=0.05, low=0, high=1),
        "final_lr_fraction": Setting(
            doc="learning rate at the end of the cosine, share of the peak", default=0.0, low=0, high=1
        ),
        "clip_norm": Setting(
            doc="clip the training gradient to this global norm, 0 is off", default=0.0, low=0
        ),
    },
    "sgd": {
        "momentum": Setting(doc="heavy-ball momentum", default=0.9, low=0, high=1, high_open=True),
    },
    "adamw": {
        "beta1": Setting(doc="decay of the first moment", default=0.9, low=0, high=1, high_open=True),
        "beta2": Setting(doc="decay of the second moment", default=0.999, low=0, high=1, high_open=True),
        "eps": Setting(doc="added to the root of the second moment", default=1e-8, low=0, low_open=True),
    },
    "micro": {
        "micro_batch": Setting(doc="examples of one micro-batch", default=128, type=int, low=1),
    },
    "gn": {"lambda": Setting(doc="weight of the penalty", default=0.01, low=0)},
    "ft": {"lambda": Setting(doc="weight of the penalty", default=0.01, low=0)},
    "aj": {"lambda": Setting(doc="weight of the penalty", default=0.001, low=0)},
    "uj": {"lambda": Setting(doc="weight of the penalty", default=0.001, low=0)},
    "graft": {
        "denoise": Setting(
            doc="the mean of all micro-batches' norms, not one of them", default=False, type=bool
        ),
    },
    "sam": {
        "rho": Setting(doc="SAM's radius", default=0.05, low=0, low_open=True),
        "adaptive": Setting(doc="ASAM: scale the ascent by |w|", default=False, type=bool),
    },
    "ire": {
        "kappa": Setting(doc="IRE's boost of flat coordinates", low=0),
        "gamma": Setting(doc="IRE's flat fraction of all coordinates", low=0, high=1, low_open=True),
        "start_fraction": Setting(
            doc="IRE's start at the latest, share of the horizon", default=0.1, low=0, high=1, high_open=True
        ),
        "start_loss": Setting(
            doc="IRE starts before, once the training loss is this low; 0 is off", default=0.0, low=0
        ),
        "kappa_follows_lr": Setting(
            doc="kappa times lr / peak lr, instead of a constant", default=False, type=bool
        ),
        "interval": Setting(doc="steps between two masks, the paper's K", default=10, type=int, low=1),
    },
}

BASES = ("sgd", "adamw")
UPDATES = {
    "small": "small-batch SGD: a step for each micro-batch",
    "large": "large-batch SGD: one step for the mean of all micro-batches",
    "gn": "large-batch SGD, the gradient norm of each micro-batch penalized",
    "ft": "large-batch SGD, the Fisher trace of each micro-batch penalized",
    "aj": "large-batch SGD, the average Jacobian of each micro-batch penalized",
    "uj": "large-batch SGD, the unit Jacobian of each micro-batch penalized",
    "graft": "iterative grafting: large-batch direction, gradient norm of one of its micro-batches",
    "external": "external grafting: large-batch direction, gradient norms recorded of another run",
    "ngd": "normalized gradient descent: large-batch direction, length one",
}
"""How a batch becomes a step, other than by its gradient: Novack et al. 2023. Defined for SGD."""
PENALTIES = ("gn", "ft", "aj", "uj")
"""Updates that add `lambda` x a penalty to the loss of each micro-batch."""
GRAFTS = ("graft", "external", "ngd")
"""Updates that prescribe the length of the gradient."""
CONTROLS = {
    "random": "random mask of the same size",
    "sharpest": "the mask inverted: boosts exactly what IRE leaves alone",
    "all": "gamma = 1 with kappa: a larger step everywhere",
    "mean": "gamma = 1 with kappa x gamma: IRE's mean boost, everywhere",
}
"""What each takes away of IRE, to tell whether it was the curvature."""
UNMASKED = ("all", "mean")
"""Controls without a mask."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """One arm: a base optimizer, SAM around it or not, IRE around that or not, or a control of IRE."""

    base: str
    update: str | None = None
    """A key of `UPDATES`; None is the gradient of the whole batch."""
    sam: bool = False
    ire: bool = False
    control: str | None = None

    @property
    def name(self) -> str:
        """The method's only name: `sam-adamw-ire-random`."""
        control = f"-{self.control}" if self.control else ""
        update = f"-{self.update}" if self.update else ""
        return f"{'sam-' if self.sam else ''}{self.base}{update}{'-ire' if self.ire else ''}{control}"

    @property
    def description(self) -> str:
        """A few words for `ire methods`."""
        words = {"sgd": "SGD with momentum", "adamw": "AdamW"}[self.base]
        words = f"SAM around {words}" if self.sam else words
        words = UPDATES[self.update] if self.update else words
        words = f"IRE around {f'sgd-{self.update}' if self.update else words}" if self.ire else words
        return f"{words}; control: {CONTROLS[self.control]}" if self.control else words

    @property
    def is_baseline(self) -> bool:
        """Whether the method is something that IRE is compared with: neither IRE nor a control of it."""
        return not self.ire

    @property
    def parts(self) -> tuple[str, ...]:
        """The keys of `PARTS` it is made of, from the general to the special."""
        own = [self.update] if self.update in PARTS else []
        update = ["micro", *own] if self.update else []
        return ("shared", self.base, *update, *(["sam"] if self.sam else []), *(["ire"] if self.ire else []))

    @property
    def ancestors(self) -> tuple[str, ...]:
        """The methods it is built from and itself, general first: sgd, sam-sgd, sam-sgd-ire; sgd, sgd-large, sgd-gn."""
        chain = [Method(base=self.base)]
        if self.update in (*PENALTIES, *GRAFTS):
            chain.append(replace(chain[-1], update="large"))
        if self.update:
            chain.append(replace(chain[-1], update=self.update))
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
        taken = {name: setting for part in self.parts for name, setting in PARTS[part].items()}
        if self.control == "all":  # it has no use for one
            del taken["gamma"]
        return taken

    def check(self, settings: Mapping[str, Any], *, where: str = "") -> None:
        """Raise `InvalidInput` unless every one of the given `settings` is known and in range."""
        for name, value in settings.items():
            if name not in self.settings:
                raise unknown(f"setting of {self.name}", name, self.settings, where=where)
            self.settings[name].check(name, value, where=where)

    def resolve(self, settings: Mapping[str, Any], *, where: str = "") -> dict[str, float | int | bool]:
        """All settings in a fixed order, defaults filled in; raises `InvalidInput` if one is missing or wrong."""
        self.check(settings, where=where)
        resolved = {}
        for name, setting in self.settings.items():
            value = settings.get(name, setting.default)
            if value is None:
                raise InvalidInput(f"{self.name} needs {name} ({setting.doc}, in {setting.interval})")
            resolved[name] = setting.check(name, value, where=where)
        return resolved

    @property
    def needs_curvature(self) -> bool:
        """Whether the mask is paid for with a sampled-label backward every `interval` steps."""
        return self.ire and self.control in (None, "sharpest")

    def boost(self, settings: Mapping[str, Any]) -> tuple[float, float]:
        """The kappa and gamma that IRE itself is given for these settings, the control's changes made."""
        kappa, gamma = settings["kappa"], settings.get("gamma", 1.0)
        if self.control == "mean":
            kappa *= gamma
        return kappa, 1.0 if self.control in UNMASKED else gamma

    def start(self, settings: Mapping[str, Any], horizon: int) -> int:
        """The first optimizer step that IRE boosts, at the latest; the horizon for a method without IRE.

        With a `start_loss` it may come earlier (`trainables.training.start`).
        """
        return round(settings["start_fraction"] * horizon) if self.ire else horizon

    def gradients_per_step(self, settings: Mapping[str, Any]) -> int:
        """What one step of the task costs, in gradients of a full batch, masks excluded.

        One, however many micro-batches it is made of; with SAM two. A penalty costs three: the gradient that it
        measures, and a product with a matrix of second derivatives, which is two.
        """
        if self.update in PENALTIES:
            return 3 if settings["lambda"] > 0 else 1
        return 2 if self.sam else 1

    def optimizer_steps(self, settings: Mapping[str, Any], batch_size: int) -> int:
        """Steps of the optimizer in one step of the task: with small batches one for each micro-batch."""
        return -(-batch_size // int(settings["micro_batch"])) if self.update == "small" else 1

    def gradient_evaluations(
        self,
        settings: Mapping[str, Any],
        horizon: int,
        *,
        steps: int | None = None,
        start: int | None = None,
    ) -> int:
        """What the first `steps` of a trial cost (all of them by default), in gradients of a full batch.

        A step costs `gradients_per_step`; a mask costs one more every `interval` steps from the `start`. Where the
        start waits for a loss and is not given, this is the most that it can come to.
        """
        if start is None:
            start = 0 if settings.get("start_loss") else self.start(settings, horizon)
        steps = horizon if steps is None else steps
        cost = steps * self.gradients_per_step(settings)
        if self.needs_curvature and settings["kappa"] > 0 and settings["gamma"] < 1:
            boosted = max(0, steps - start)
            cost += -(-boosted // int(settings["interval"]))
        return cost


def all_methods() -> dict[str, Method]:
    """Every method there is, by name."""
    roots = [Method(base=base, sam=sam) for base in BASES for sam in (False, True)]
    roots += [Method(base="sgd", update=update) for update in UPDATES]
    methods = []
    for root in roots:
        methods.append(root)
        if root.update not in GRAFTS:
            methods += [replace(root, ire=True, control=control) for control in (None, *CONTROLS)]
    return {method.name: method for method in methods}


def parse_method(name: str, *, where: str = "") -> Method:
    """The method of that name; raises `InvalidInput` with the nearest names, or the reason why there is none."""
    methods = all_methods()
    if name in methods:
        return methods[name]
    reason = _refusal(name)
    if reason:
        place = f" in {where}" if where else ""
        raise InvalidInput(f"there is no method {name!r}{place}: {reason}")
    near = difflib.get_close_matches(name, methods, n=3, cutoff=0.5)
    listed = [key for key, method in methods.items() if method.control is None]
    raise unknown("method", name, dict.fromkeys([*near, *listed]), where=where)


def _refusal(name: str) -> str | None:
    """Why a combination of known parts is not offered; None if its parts are not known, either."""
    form = rf"(sam-)?({'|'.join(BASES)})-({'|'.join(UPDATES)})(-ire(-({'|'.join(CONTROLS)}))?)?"
    found = re.fullmatch(form, name)
    if found is None:
        return None
    sam, base, update, ire, *_ = found.groups()
    if base != "sgd":
        return f"-{update} is about SGD (Novack et al. 2023); try 'sgd-{update}' or '{base}-ire'"
    if sam:
        return f"SAM takes its gradient elsewhere than where -{update} is defined; try 'sgd-{update}' or 'sam-sgd'"
    if ire and update in GRAFTS:
        return (
            f"-{update} prescribes the length of the step, and IRE would change it; "
            f"try 'sgd-{update}' or 'sgd-large-ire'"
        )
    return None
