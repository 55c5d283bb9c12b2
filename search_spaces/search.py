"""How much is searched, and fixed settings: the numbers of a space file beside its ranges."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SELECT = ("val_loss", "train_loss")
SAMPLERS = ("tpe", "random")


@dataclass(frozen=True, kw_only=True)
class Search:
    """How much is searched, and when a trial is judged; the same for every method."""

    trials: int
    """Cap on the trials of one method."""
    budget_per_trial: float
    """A method may spend `trials * budget_per_trial * horizon` gradient evaluations, pruned work included."""
    rungs: tuple[int, ...]
    """Optimizer steps at which a trial that is not among the best stops."""
    reduction_factor: int
    """One in this many trials passes a rung."""
    startup_trials: int
    """Trials of a method that are drawn at random before TPE suggests."""
    grid: bool = False
    """Try every combination of the choices, in order, everything else at its published value, and nothing is pruned."""
    select: str = "val_loss"
    """The final value whose lowest wins a grid: one of `SELECT`. Any other search is judged by validation."""
    measured: bool = False
    """Whether every point of a grid is measured as a winner is: on the test split, and its flatness."""
    sampler: str = "tpe"
    """What suggests settings: one of `SAMPLERS`."""


@dataclass(frozen=True, kw_only=True)
class FixedPoint:
    """A method that is not searched: settings that were found elsewhere."""

    settings: Mapping[str, Any]
    """Those that the file gives; the others are the published ones."""
    search_cost: int | None = None
    """Gradient evaluations that finding them took, according to its author; None if unknown."""
