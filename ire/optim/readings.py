"""The attributes of an `IRE` optimizer that can be read, or set while it runs."""

from dataclasses import fields, replace
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from ire.optim.mask.refresh import fractions
from ire.optim.sam import SAM
from ire.optim.wrapping.boostable import check_base
from ire.optim.wrapping.choices import Choices
from ire.optim.wrapping.memory import Memory
from ire.optim.wrapping.settings import Schedule, Settings, misspelt
from ire.optim.wrapping.wrapper import Wrapper

NAMES = tuple(field.name for field in fields(Settings))
SETTABLE = ("kappa", "gamma", "interval", "start", "lr_max", "ema", "seed", "pack_masks")
"""The settings that may change while the optimizer runs."""


class Readings(Wrapper):
    """The part of `IRE` that reports; it needs the attributes below."""

    _memory: Memory
    _choices: Choices
    _kappa_in_force: float

    @property
    def _inner(self) -> Optimizer:
        """The optimizer that takes the step, inside SAM if there is one."""
        return self.base.base if isinstance(self.base, SAM) else self.base

    kappa: float | Schedule
    """κ; a new value applies from the next step on. Groups and names may override it."""
    gamma: float
    """γ; a new value applies from the next refresh on, gamma=1 from the next step on."""
    interval: int
    """K, steps between two refreshes of the mask."""
    start: int
    """The first boosted step, counted from 0."""
    lr_max: float | None
    """κ follows the learning rate as κ · lr / lr_max; None keeps it constant."""
    ema: float
    """β of the running average of curvatures, per refresh."""
    seed: int
    """Seed of the random masks."""
    pack_masks: bool
    """Whether checkpoints hold masks as bits."""

    @property
    def settings(self) -> Settings:
        """The arguments, checked."""
        return self._choices.settings

    def __getattr__(self, name: str) -> Any:
        """The arguments of `IRE`, by name."""
        if name in NAMES and "_choices" in self.__dict__:
            return getattr(self.settings, name)
        return super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Change a setting, which is checked; other attributes are set as on any object.

        Raises:
            AttributeError: the setting is fixed once `IRE` is built, or is misspelt and would have no effect.
            ValueError: a value outside its range; nothing has changed then.
        """
        if name.startswith("_"):  # bookkeeping of every step
            super().__setattr__(name, value)
            return
        if name in SETTABLE:
            settings = replace(self.settings, **{name: value})
            check_base(self._inner, settings)
            self._choices.settings = settings
            return
        if name in (*NAMES, "settings") or (name == "base" and "base" in self.__dict__):
            raise AttributeError(
                f"{name} is fixed once IRE is built; settable are {', '.join(SETTABLE)}. For another {name} build "
                "IRE around the base anew, and load the state_dict() of this one"
            )
        if not hasattr(self, name):
            meant = misspelt(name, SETTABLE)
            if meant is not None:
                raise AttributeError(
                    f"IRE has no setting {name!r}, so this has no effect; did you mean {meant}?"
                )
        super().__setattr__(name, value)

    def start_now(self) -> None:
        """Boost from the next step on; no effect if the boost has already begun."""
        self.start = min(self.start, self.steps)

    @property
    def steps(self) -> int:
        """Optimizer steps taken."""
        return self._memory.steps

    @property
    def kappa_in_force(self) -> float:
        """The boost that the last step applied, the largest over all parameters; 0 if nothing was boosted."""
        return self._kappa_in_force

    @property
    def skipped_refreshes(self) -> int:
        """Refreshes that kept the old mask because a curvature was not finite, or was zero everywhere."""
        return self._memory.skipped

    @property
    def flat_fraction(self) -> float:
        """Share of coordinates in the current mask, among those that were ranked; 0 before the first.

        For sharded parameters, this worker's part only.
        """
        return _share_of_all(self.flat_fractions())

    def flat_fractions(self) -> dict[Tensor, float]:
        """The share of each parameter's coordinates in the current mask; empty before the first."""
        everywhere = {
            p: 1.0 for _, p, _, gamma in self._choices.boosted(self.steps) if gamma == 1 and p.requires_grad
        }
        return fractions(self._memory) | everywhere

    def diagnostics(self) -> dict[str, Any]:
        """Whether the mask is meaningful, as plain numbers for logging.

        `overlap` is the share of the mask that the previous mask also had. `overlap_beyond_chance` is the same
        on a scale where random masks have 0 and equal ones 1: near 0 the curvature is mostly noise, and
        `random` would do as well. `zero_curvature` is the share of ranked coordinates whose curvature was
        exactly zero, so that their place in the ranking is arbitrary. `by_tensor` is the share of each tensor
        that is in the mask, by name where one is known, else by number. All values are this worker's; None
        means that there was no mask yet.
        """
        memory, shares, names = self._memory, self.flat_fractions(), self._choices.names()
        flat, overlap = _share_of_all(shares), memory.overlap
        beyond = None if overlap is None or flat >= 1 else (overlap - flat) / (1 - flat)
        return {
            "steps": self.steps,
            "kappa_in_force": self.kappa_in_force,
            "refreshes": memory.refreshes,
            "skipped_refreshes": memory.skipped,
            "flat_fraction": flat,
            "overlap": overlap,
            "overlap_beyond_chance": beyond,
            "zero_curvature": memory.zeros,
            "by_tensor": {
                names.get(p, str(i)): shares[p] for i, p in enumerate(self.parameters()) if p in shares
            },
        }

    def __repr__(self) -> str:
        defaults = {field.name: field.default for field in fields(Settings)}
        given = {name: getattr(self.settings, name) for name in defaults}
        shown = ", ".join(f"{name}={it!r}" for name, it in given.items() if it != defaults[name])
        return f"IRE({shown}) around {self.base!r}"


def _share_of_all(shares: dict[Tensor, float]) -> float:
    return sum(share * p.numel() for p, share in shares.items()) / max(sum(p.numel() for p in shares), 1)
