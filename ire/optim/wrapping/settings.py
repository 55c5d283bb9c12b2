"""The settings of IRE, and their checks."""

import inspect
import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cache
from numbers import Integral, Real
from typing import Any

from torch import optim
from torch.optim import Optimizer

from ire.optim.curvature.sources import SECOND_MOMENTS, SOURCES, Source, no_second_moment, source_named
from ire.optim.wrapping.bases import check_kind
from ire.optim.wrapping.several_bases import bases_of, innermost


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The arguments of `IRE`, checked.

    Raises:
        ValueError: an argument outside its range.
    """

    kappa: "float | Schedule"
    """κ, the boost: flat coordinates move 1 + κ times as far; a number, or a function of the step."""
    gamma: float
    """γ, the share of coordinates that count as flat."""
    interval: int = 10
    """K, steps between two refreshes of the mask."""
    start: int = 0
    """T_w, the step (counted from 0) that is the first to be boosted."""
    curvature: str | Source = "sampled"
    ema: float = 0.0
    """β of the running average of curvatures, per refresh; 0 keeps the last one only."""
    lr_max: float | None = None
    """κ follows the learning rate as κ · lr / lr_max; None keeps it constant."""
    boost_weight_decay: bool = True
    seed: int = 0
    """Seed of the random masks."""
    compile: bool = False
    by_name: "ByName | None" = None
    """κ, γ and the peak of the lr of single parameters, by their names."""
    ranked_by: "str | Callable[[str], Hashable]" = "model"
    """What is ranked together: the model, each block, each tensor, or names with equal values of a function."""
    pack_masks: bool = False
    """Whether checkpoints hold masks as bits."""

    def __post_init__(self) -> None:
        kappa = kappa_at(self.kappa, self.start) if isinstance(self.start, int) else self.kappa
        _check_range(kappa, self.gamma, self.lr_max)
        for name in ("boost_weight_decay", "compile", "pack_masks"):
            check_switch(name, getattr(self, name))
        if not (self.by_name is None or callable(self.by_name) or isinstance(self.by_name, Mapping)):
            raise ValueError(
                'by_name must be a dict of settings by pattern, as in {"*norm*": {"kappa": 0}}, or a function of a '
                f"parameter's name, got {self.by_name!r}"
            )
        if not isinstance(self.seed, Integral) or isinstance(self.seed, bool):
            raise ValueError(f"seed must be a whole number, got {self.seed!r}")
        if not callable(self.ranked_by) and self.ranked_by not in RANKINGS:
            raise ValueError(
                f"ranked_by must be one of {', '.join(RANKINGS)}, or a function of a parameter's name, got "
                f"{self.ranked_by!r}"
            )
        for name in ("interval", "start", "ema"):
            check_number(name, getattr(self, name))
        if not (self.interval >= 1 and self.interval % 1 == 0):
            raise ValueError(
                f"interval must be a whole number of steps >= 1, got {self.interval}; 10 costs a tenth of a step extra"
            )
        if not (self.start >= 0 and self.start % 1 == 0):
            raise ValueError(
                f"start must be a whole number of steps >= 0, got {self.start}; 0 boosts from the first step, "
                "the end of the warm-up is usual"
            )
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be in [0, 1), got {self.ema}; 0 means no averaging, 0.9 averages ten")
        source = source_named(self.curvature)
        if source.inverted and self.gamma == 1:
            raise ValueError(
                f"curvature={self.curvature!r} with gamma=1 would boost nothing; choose gamma < 1"
            )
        if self.ema and source is SOURCES["random"]:
            raise ValueError(f"curvature='random' has nothing to average, got ema={self.ema}; use ema=0")


Schedule = Callable[[int], float]
"""κ in the step of that number, counted from 0."""
ByName = Mapping[str, Mapping[str, Any]] | Callable[[str], Mapping[str, Any] | None]
"""Settings by shell pattern (`*norm*`), of which the first match counts; or a function of the name."""
RANKINGS = ("model", "block", "tensor")


def kappa_at(kappa: float | Schedule, step: int) -> float:
    """κ in that step.

    Raises:
        ValueError: a schedule that gives no number, or one outside the range.
    """
    if not callable(kappa):
        return kappa
    value = kappa(step)
    if not isinstance(value, Real) or isinstance(value, bool) or not (math.isfinite(value) and value >= 0):
        raise ValueError(f"kappa as a function must give finite numbers >= 0, got {value!r} at step {step}")
    return float(value)


OF_GROUPS = ("kappa", "gamma", "lr_max")
"""The settings that a parameter group may have of its own."""


def of_group(group: dict[str, Any], name: str, default: Any, base: Optimizer) -> Any:
    """What the group sets for IRE, else the default.

    A name that is an option of the base is the base's: MARS and AdaGO have a `gamma`, schedule-free optimizers
    keep an `lr_max` in their groups. Of several bases that of the group counts.
    """
    owners = bases_of(base)
    if len(owners) > 1:
        owners = [owner for owner in owners if any(group is own for own in owner.param_groups)] or owners
    return default if is_option(name, owners[0]) else group.get(name, default)


def is_option(name: str, base: Optimizer) -> bool:
    """Whether the base knows an option of that name, even if it only sets it in its groups."""
    return name in getattr(base, "defaults", ()) or name in _arguments(type(base))


@cache
def _arguments(kind: type[Optimizer]) -> frozenset[str]:
    return frozenset(inspect.signature(kind.__init__).parameters)


def keep_groups_settings(base: Optimizer) -> None:
    """Make loads into `base` keep what its groups set for IRE, unless the checkpoint sets it too.

    A few wrappers of other packages skip torch's `Optimizer.__init__` and have no hooks: their loads drop it.
    """
    for each in bases_of(base):
        if hasattr(each, "_optimizer_load_state_dict_pre_hooks"):
            each.register_load_state_dict_pre_hook(_kept)


def _kept(base: Optimizer, state_dict: dict[str, Any]) -> dict[str, Any] | None:
    groups, saved = base.param_groups, state_dict.get("param_groups", ())
    if len(groups) != len(saved):
        return None  # the load itself will refuse it
    names = [name for name in OF_GROUPS if not is_option(name, base)]
    kept = [{name: group[name] for name in names if name in group} for group in groups]
    return state_dict | {"param_groups": [own | new for own, new in zip(kept, saved, strict=True)]}


def check_group(group: dict[str, Any], base: Optimizer) -> None:
    """Check κ, γ and the peak of the lr where the group has its own.

    Raises:
        ValueError: one is outside its range.
    """
    kappa, gamma, lr_max = (
        of_group(group, name, default, base)
        for name, default in (("kappa", 0), ("gamma", 1), ("lr_max", None))
    )
    _check_range(kappa, gamma, lr_max)


def check_own(settings: Mapping[str, Any], where: str) -> None:
    """Check what a pattern or a function of the name sets for a parameter.

    Raises:
        ValueError: an unknown setting, or one outside its range.
    """
    if not isinstance(settings, Mapping):
        raise ValueError(f'{where} must be a dict of settings, as in {{"kappa": 0}}, got {settings!r}')
    unknown = sorted(map(str, set(settings) - set(OF_GROUPS)))
    if unknown:
        raise ValueError(f"{where} sets {', '.join(unknown)}; allowed are {', '.join(OF_GROUPS)}")
    _check_range(kappa_at(settings.get("kappa", 0), 0), settings.get("gamma", 1), settings.get("lr_max"))


def _check_range(kappa: Any, gamma: float, lr_max: float | None) -> None:
    check_number("kappa", kappa)
    check_number("gamma", gamma)
    if not (math.isfinite(kappa) and kappa >= 0):
        raise ValueError(f"kappa must be finite and >= 0, got {kappa}; 0 is the base optimizer, 1 to 5 usual")
    if not 0 < gamma <= 1:
        raise ValueError(
            f"gamma must be in (0, 1], got {gamma}; it is the share of flat coordinates, 0.6 to 0.99 usual "
            "(some codes give 1 - gamma)"
        )
    if lr_max is not None:
        check_number("lr_max", lr_max)
        if not (math.isfinite(lr_max) and lr_max > 0):
            raise ValueError(
                f"lr_max must be finite and > 0, got {lr_max}; give the peak of the schedule, or None for a "
                "constant kappa"
            )


def check_number(name: str, value: Any) -> None:
    """Check that this is a number.

    Raises:
        ValueError: it is not; a Boolean does not count as one.
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        raise ValueError(f"{name} must be a number, got {value!r}")


def check_switch(name: str, value: Any) -> None:
    """Check that this is a Boolean.

    Raises:
        ValueError: it is not; a string such as "no" would count as true.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {value!r}")


def check_base(base: Optimizer, settings: Settings) -> None:
    """Check that this optimizer can be boosted in this way.

    Raises:
        ValueError: the maths does not fit.
    """
    for each in bases_of(base):
        check_closure(each, "IRE")
        if _may_boost(each, settings):
            check_kind(each)
        if isinstance(each, optim.SparseAdam):
            raise ValueError("IRE cannot rank sparse gradients; use a dense embedding and Adam or AdamW")
        if settings.curvature == "second_moment":
            _check_second_moment(each)
        for group in each.param_groups:
            check_group(group, each)
            check_parameters(group, each, settings)


def _may_boost(base: Optimizer, settings: Settings) -> bool:
    """False only if every κ is 0, and IRE is the base."""
    own = (of_group(group, "kappa", settings.kappa, base) for group in base.param_groups)
    return settings.by_name is not None or any(callable(kappa) or bool(kappa) for kappa in own)


def check_parameters(group: dict[str, Any], base: Optimizer, settings: Settings) -> None:
    """Check that the steps of this base on this group, its defaults filled in, can be boosted.

    Raises:
        ValueError: the maths does not fit.
    """
    tensors = [p[1] if isinstance(p, tuple) else p for p in group["params"]]  # torch allows (name, parameter)
    if any(p.is_complex() for p in tensors) and of_group(group, "kappa", settings.kappa, base) != 0:
        raise ValueError(
            "IRE cannot rank complex parameters; hold them as real pairs (torch.view_as_real), or exclude them by "
            "a group with kappa=0"
        )
    if group.get("differentiable"):
        raise ValueError("IRE cannot be differentiated through; use differentiable=False")
    if not settings.boost_weight_decay:
        decoupled_decay(group, base)


def check_closure(base: Optimizer, wrapper: str) -> None:
    """Check that `base` takes a step with the gradients that are there.

    Raises:
        ValueError: it wants to evaluate the closure by itself, as LBFGS does.
    """
    closure = inspect.signature(base.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ValueError(
            f"{wrapper} cannot be put around {type(base).__name__}, which evaluates its closure by itself and assumes "
            "that its own steps are taken unchanged; use a first-order base"
        )


def decoupled_decay(group: dict[str, Any], base: Optimizer) -> float:
    """η λ of the group, the share by which a step shrinks its parameters.

    Raises:
        ValueError: its weight decay is not decoupled from the gradient.
    """
    if not group.get("weight_decay"):
        return 0.0
    decoupled = isinstance(base, optim.AdamW | getattr(optim, "Muon", optim.AdamW))
    decoupled = decoupled or group.get("decoupled_weight_decay") or group.get("weight_decouple")
    if not decoupled or group.get("fixed_decay"):
        raise ValueError(
            f"boost_weight_decay=False needs weight decay that is decoupled and scaled by lr, as in AdamW; "
            f"{type(base).__name__} mixes it with the gradient. Use boost_weight_decay=True or weight_decay=0"
        )
    return float(group["lr"]) * float(group["weight_decay"])


def _check_second_moment(base: Optimizer) -> None:
    """Check what is certain before the first step; the first refresh checks the state itself.

    Raises:
        ValueError: the base keeps no second moments, or not those of all parameters on every worker.
    """
    owner = innermost(base)
    whole, part = ({p for group in it.param_groups for p in group["params"]} for it in (base, owner))
    if whole > part:
        raise ValueError(
            f"curvature='second_moment' ranks all parameters, and {type(base).__name__} keeps the state of some only "
            "on each worker; use curvature='empirical' or 'sampled' with it"
        )
    states = [state for state in owner.state.values() if state]
    without = (optim.SGD, optim.ASGD, optim.Rprop, optim.Adamax, optim.Adafactor)
    lacks = isinstance(owner, (*without, *filter(None, [getattr(optim, "Muon", None)])))
    if states:
        lacks = not all(any(name in state for name in SECOND_MOMENTS) for state in states)
    if lacks:
        raise ValueError(no_second_moment(owner))
