"""How much is searched, and methods with fixed settings: the parts of a space file beside its ranges."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SELECT = ("val_loss", "train_loss")
SAMPLERS = ("tpe", "random")


@dataclass(frozen=True, kw_only=True)
class Search:
    """How much is searched, and when a trial is judged; the same for every method."""

    trials: int
    """The maximum number of trials of one method."""
    budget_per_trial: float
    """A method may spend `trials * budget_per_trial * horizon` gradient evaluations, pruned work included."""
    rungs: tuple[int, ...]
    """The optimizer steps at which a trial stops unless it is among the best."""
    reduction_factor: int
    """One in this many trials passes a rung."""
    startup_trials: int
    """Trials of a method that are drawn at random before TPE suggests."""
    grid: bool = False
    """Whether to try every combination of the choices, in order and without pruning; the rest has published values."""
    select: str = "val_loss"
    """The final value whose minimum wins a grid: one of `SELECT`. Any other search is judged by validation."""
    measured: bool = False
    """Whether every point of a grid is measured like a winner: on the test split, and its flatness."""
    sampler: str = "tpe"
    """The sampler that suggests settings: one of `SAMPLERS`."""


@dataclass(frozen=True, kw_only=True)
class FixedPoint:
    """A method that is not searched, with settings that were found elsewhere."""

    settings: Mapping[str, Any]
    """The settings in the file; the others have their published values."""
    search_cost: int | None = None
    """Gradient evaluations that it took to find them, according to the file's author; None if unknown."""
