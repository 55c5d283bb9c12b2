"""Builds the optimizer of a method and its settings, and drives it during a trial."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer

from ire.methods.composed import Method
from ire.methods.part import Base
from ire.optim import IRE, SAM
from ire.optim.wrapping.bases import inside
from ire.optim.wrapping.several_bases import SeveralBases
from trainables.training.groups import Group, grouped, options
from trainables.training.sampled_hessian import SampledHessian


def build_optimizer(
    method: Method,
    settings: Mapping[str, Any],
    model: nn.Module,
    *,
    horizon: int,
    seed: int,
    optimizer_steps: int = 1,
    compile: bool = False,
) -> Optimizer:
    """The optimizer of `method` over the trainable parameters of `model`.

    `settings` are resolved ones (`Method.resolve`), `horizon` is in steps of the task, each of which takes
    `optimizer_steps`; `seed` feeds the random mask of the control, `compile` compiles IRE's step. `model` may be
    wrapped in DistributedDataParallel.
    """
    optimizer = _base(method, settings, model, horizon=horizon * optimizer_steps)
    if method.sam:
        optimizer = SAM(optimizer, settings["rho"], adaptive=settings["adaptive"], model=model)
    if method.ire:
        kappa, gamma = method.boost(settings)
        if settings["kappa_follows_lr"]:
            for group in optimizer.param_groups:
                if "rate" in group or "multiplier" in group:
                    group["lr_max"] = _peak(group, settings)
        optimizer = IRE(
            optimizer,
            kappa=kappa,
            gamma=gamma,
            interval=settings["interval"] * optimizer_steps,
            start=method.start(settings, horizon) * optimizer_steps,
            curvature=method.control if method.control in ("random", "sharpest") else "sampled",
            seed=seed,
            lr_max=settings["lr"] if settings["kappa_follows_lr"] else None,
            compile=compile,
        )
    return optimizer


def _base(method: Method, settings: Mapping[str, Any], model: nn.Module, *, horizon: int) -> Optimizer:
    base, groups = method.base, grouped(method, settings, model)
    own = _one(base, settings, [group for group in groups if not group.is_rest], rate="lr", horizon=horizon)
    if base.curvature_interval and base.curvature_scale:
        own = SampledHessian(
            own, interval=settings[base.curvature_interval], gamma=settings[base.curvature_scale]
        )
    left = [group for group in groups if group.is_rest]
    if not left or base.rest is None:
        return own
    return SeveralBases([own, _one(base.rest, settings, left, rate="rest_lr", horizon=horizon)])


def _one(
    base: Base, settings: Mapping[str, Any], groups: Sequence[Group], *, rate: str, horizon: int
) -> Optimizer:
    parameters: list[Any] = options(groups, settings, rate)
    if len(parameters) == 1 and len(parameters[0]) == 1:  # one group without options
        parameters = parameters[0]["params"]
    return base.load()(parameters, **base.keywords(settings, horizon=horizon))


# How a trial drives it


def set_learning_rates(
    optimizer: Optimizer, method: Method, settings: Mapping[str, Any], factor: float
) -> None:
    """Give every group its learning rate: `factor` times its peak."""
    rates = method.base.rates
    for group in optimizer.param_groups:
        group["lr"] = factor * _peak(group, settings)
        for key, setting in rates.items():
            if key in group:
                group[key] = factor * settings[setting]


def _peak(group: Mapping[str, Any], settings: Mapping[str, Any]) -> float:
    return settings[group.get("rate", "lr")] * group.get("multiplier", 1.0)


def set_mode(optimizer: Optimizer, *, training: bool) -> None:
    """Switch the weights of an optimizer that trains and evaluates at different ones (schedule-free)."""
    for part in inside(optimizer):
        change = getattr(part, "train" if training else "eval", None)
        if callable(change):
            change()


def wants_curvature(optimizer: Optimizer) -> bool:
    """Whether the next step first needs a gradient against labels that the model draws."""
    return bool(getattr(optimizer, "curvature_due", False))
