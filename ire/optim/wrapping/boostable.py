"""Checks whether the steps of a base can be boosted in the way that the settings ask for."""

import inspect
from typing import Any

import torch
from torch import Tensor, optim
from torch.optim import Optimizer

from ire.optim.curvature.sources import SECOND_MOMENTS, no_second_moment
from ire.optim.wrapping.bases import check_kind, inside
from ire.optim.wrapping.groups import COMPLEX, check_group, of_group
from ire.optim.wrapping.settings import Settings
from ire.optim.wrapping.several_bases import bases_of, innermost, owner_of

NOT_OF_COORDINATES = ("AdaShift", "Conda", "SOAP")
"""Parts of names of classes whose `exp_avg_sq` belongs to another basis, or is the same for all coordinates."""
OWN_DECAY = {
    *("APOLLO", "AdaFactor", "AdamS", "DAdaptAdam", "DAdaptAdan", "DAdaptLion"),
    *("Magma", "Prodigy", "RAdam", "SPlus", "StableAdamW"),
}
"""Classes of pytorch_optimizer whose decoupled decay is not η λ θ: they scale η first, or leave it out at times."""
FLAT = (
    "IRE cannot rank the flat pieces that FullyShardedDataParallel makes of parameters: each worker would rank its own "
    "alone. Use fully_shard (FSDP2), whose parameters are ranked together"
)


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
    """False only if every κ is 0, so that IRE equals the base."""
    own = (of_group(group, "kappa", settings.kappa, base) for group in base.param_groups)
    return settings.by_name is not None or any(callable(kappa) or bool(kappa) for kappa in own)


def check_parameters(group: dict[str, Any], base: Optimizer, settings: Settings) -> None:
    """Check that the steps of this base on this group, its defaults filled in, can be boosted.

    Raises:
        ValueError: the maths does not fit.
    """
    # torch allows (name, parameter)
    tensors: list[Tensor] = [p[1] if isinstance(p, tuple) else p for p in group["params"]]
    is_boosted = settings.by_name is None and of_group(group, "kappa", settings.kappa, base) != 0
    if is_boosted and any(p.is_complex() for p in tensors):
        raise ValueError(COMPLEX)  # settings by name are looked up later
    is_ranked = is_boosted and of_group(group, "gamma", settings.gamma, base) != 1
    if (is_ranked or settings.by_name is not None) and any(hasattr(p, "_fsdp_flattened") for p in tensors):
        raise ValueError(FLAT)
    if (is_boosted or settings.by_name is not None) and len(set(tensors)) < len(tensors):
        raise ValueError(
            "a group holds a parameter twice, as tied weights in a list do, and would step and rank it twice; name it "
            "once, as model.parameters() does"
        )
    if of_group(group, "lr_max", settings.lr_max, base) is not None and "lr" not in group:
        raise ValueError(
            f"lr_max makes kappa follow the lr, and the groups of {type(base).__name__} have none; use lr_max=None"
        )
    if group.get("differentiable"):
        raise ValueError("IRE cannot be differentiated through; use differentiable=False")
    if not settings.boost_weight_decay:
        decoupled_decay(group, base)


def check_closure(base: Optimizer, wrapper: str) -> None:
    """Check that `base` takes a step with the existing gradients.

    Raises:
        ValueError: it evaluates the closure by itself, like LBFGS.
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
        ValueError: its weight decay is mixed with the gradient, or is not scaled by η alone.
    """
    if not group.get("weight_decay"):
        return 0.0
    owner = owner_of(group, base)
    decoupled = isinstance(innermost(owner), optim.AdamW | getattr(optim, "Muon", optim.AdamW))
    decoupled = decoupled or group.get("decoupled_weight_decay") or group.get("weight_decouple")
    kinds = {kind for each in inside(owner) for kind in type(each).__mro__}
    has_own = any(
        kind.__name__ in OWN_DECAY and not issubclass(kind, getattr(optim, kind.__name__, ()))
        for kind in kinds
    )
    if not decoupled or has_own or group.get("fixed_decay"):
        raise ValueError(
            "boost_weight_decay=False needs weight decay that is decoupled and scaled by lr alone, as in AdamW; that "
            f"of {type(owner).__name__} is not. Use boost_weight_decay=True or weight_decay=0"
        )
    return float(group["lr"]) * float(group["weight_decay"])


def check_not_captured(base: Optimizer) -> None:
    """Check that no CUDA graph captures this step: its replays would neither count steps nor refresh the mask.

    Raises:
        RuntimeError: one does.
    """
    first = next((p for group in base.param_groups for p in group["params"]), None)
    if first is not None and first.is_cuda and torch.cuda.is_current_stream_capturing():
        raise RuntimeError(
            "a CUDA graph cannot capture IRE's step, which counts steps and decides on the host; capture forward and "
            "backward only, and call step() outside of the graph: for AdamW, Adam and SGD it is one launch"
        )


def _check_second_moment(base: Optimizer) -> None:
    """Check what is certain before the first step; the first refresh checks the state itself.

    Raises:
        ValueError: the base keeps no second moments, or not those of all parameters on every worker.
    """
    owner = innermost(base)
    whole, part = ({p for group in it.param_groups for p in group["params"]} for it in (base, owner))
    if whole > part:
        raise ValueError(
            f"curvature='second_moment' ranks all parameters, and {type(base).__name__} keeps only the state of some "
            "on each worker; use curvature='empirical' or 'sampled' with it"
        )
    rotated = any(name in kind.__name__ for kind in type(owner).__mro__ for name in NOT_OF_COORDINATES)
    if rotated or any(group.get("rank") for group in owner.param_groups):  # as GaLore's
        raise ValueError(
            f"curvature='second_moment' ranks coordinates, but the second moments of {type(owner).__name__} belong to "
            "other directions; use curvature='empirical' or 'sampled' with it"
        )
    states = [state for state in owner.state.values() if state]
    without = (optim.SGD, optim.ASGD, optim.Rprop, optim.Adamax, optim.Adafactor)
    lacks = isinstance(owner, (*without, *filter(None, [getattr(optim, "Muon", None)])))
    if states:
        lacks = not all(any(name in state for name in SECOND_MOMENTS) for state in states)
    if lacks:
        raise ValueError(no_second_moment(owner))
