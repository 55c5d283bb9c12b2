"""The settings of IRE in parameter groups and by name: κ, γ and the peak of the learning rate."""

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

from torch.optim import Optimizer

from ire.optim.wrapping.settings import check_range, kappa_at, misspelt
from ire.optim.wrapping.several_bases import bases_of, owner_of

OF_GROUPS = ("kappa", "gamma", "lr_max")
"""The settings that a parameter group may have."""
COMPLEX = (
    "IRE cannot rank complex parameters; hold them as real pairs (torch.view_as_real), or exclude them with kappa=0, "
    "by a group or by_name"
)


def of_group(group: dict[str, Any], name: str, default: Any, base: Optimizer) -> Any:
    """The group's setting for IRE, else the default.

    A name that is an option of the base belongs to the base: MARS and AdaGO have a `gamma`, schedule-free optimizers
    keep an `lr_max` in their groups. With several bases, the one that owns the group decides.
    """
    return default if is_option(name, owner_of(group, base)) else group.get(name, default)


def is_option(name: str, base: Optimizer) -> bool:
    """Whether the base knows an option of that name, even if it only sets it in its groups."""
    return name in getattr(base, "defaults", ()) or name in _arguments(type(base))


@cache
def _arguments(kind: type[Optimizer]) -> frozenset[str]:
    return frozenset(inspect.signature(kind.__init__).parameters)


def keep_groups_settings(base: Optimizer) -> None:
    """Keep the groups' settings for IRE when a checkpoint is loaded into `base`, unless the checkpoint has them.

    A few wrappers of other packages skip torch's `Optimizer.__init__` and have no hooks: their loads drop the settings.
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
    """Check κ, γ and the peak of the lr in a group that has them.

    Raises:
        ValueError: one is outside its range, or misspelt.
    """
    for name in group:
        meant = None if is_option(name, base) else misspelt(name, OF_GROUPS)
        if meant is not None:
            raise ValueError(
                f"a group has {name}={group[name]!r}, which has no effect; did you mean {meant}?"
            )
    kappa, gamma, lr_max = (
        of_group(group, name, default, base)
        for name, default in (("kappa", 0), ("gamma", 1), ("lr_max", None))
    )
    if callable(kappa):
        raise ValueError(
            "the kappa of a group must be a number, which checkpoints hold; give a function of the step as "
            'IRE(..., kappa=function), or by_name={"pattern": {"kappa": function}}'
        )
    check_range(kappa, gamma, lr_max)


def check_own(settings: Mapping[str, Any], where: str) -> None:
    """Check the settings that a pattern or a function of the name gives a parameter.

    Raises:
        ValueError: an unknown setting, or one outside its range.
    """
    if not isinstance(settings, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - the user gave it
        raise ValueError(f'{where} must be a dict of settings, as in {{"kappa": 0}}, got {settings!r}')
    unknown = sorted(map(str, set(settings) - set(OF_GROUPS)))
    if unknown:
        raise ValueError(f"{where} sets {', '.join(unknown)}; allowed are {', '.join(OF_GROUPS)}")
    check_range(kappa_at(settings.get("kappa", 0), 0), settings.get("gamma", 1), settings.get("lr_max"))
