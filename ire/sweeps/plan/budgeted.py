"""What a sweep compares and what it may cost: its arms, its baselines, and budgets in gradient evaluations."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from ire.methods.method import Method
from ire.methods.own_arm import OPTIMIZER, OwnArm
from ire.methods.task_settings import BATCH_SIZE
from ire.sweeps.plan.imported import Imported
from ire.sweeps.plan.options import PlannedOptions
from search_spaces.dimensions import ends
from search_spaces.space import Space


@dataclass(frozen=True, kw_only=True)
class BudgetedPlan(PlannedOptions):
    """All fields of a plan, its arms and their costs."""

    import_path: tuple[str, ...] = ()
    """Folders where a task from outside the package is found, on every machine."""
    rules: int = 1
    """The version of the rules of judgement: 1 is older than studies, 2 is current."""
    data: str | None = None
    """Identity of the training data (`Task.data_identity`); None if the task has none, and in older sweeps."""
    imported: Imported | None = None
    """The trials taken from the experiment `warm_start`."""
    paired: bool | None = None
    """Whether the seed of a training function determines its first losses, so that runs can be compared in pairs; None
    for a task, where it always does."""
    seeded: bool | None = None
    """Whether another seed changes the first losses of a training function; None for a task."""
    space: Space

    def method(self, name: str, *, where: str = "") -> Method:
        """The arm of that name: one of the space's own, or a method; raises `InvalidInput`."""
        return self.space.method(name, where=where)

    @property
    def named_methods(self) -> tuple[str, ...]:
        """Every method name that a trial may have: the arms, and the methods of which they build their optimizers."""
        built = [arm.dimensions[OPTIMIZER] for arm in self.space.arms.values() if OPTIMIZER in arm.dimensions]
        return (*self.methods, *(str(value) for dimension in built for value in ends(dimension)))

    def is_baseline(self, method: Method) -> bool:
        """Whether the method is a baseline: one of `baselines`, or if these are empty, any of ours without IRE.

        If every arm comes from outside the package, all arms without IRE are baselines.
        """
        if self.baselines:
            return method.name in self.baselines or method.label in self.baselines
        ours = [name for name in self.methods if (arm := self.method(name)).is_ours and not arm.ire]
        return not method.ire and (method.is_ours or not ours)

    @property
    def budget(self) -> int:
        """Gradient evaluations that each method may spend on its search, including pruned trials.

        A grid is searched completely: its budget is the largest cost of any method's grid.
        """
        if self.space.search.grid:
            methods = map(self.method, self.methods)
            return max(self.search_trials(method) * self.most_expensive_trial(method) for method in methods)
        return round(self.trials * self.space.search.budget_per_trial * self.space.horizon)

    def search_cost(self, method: Method, spent: int) -> int | None:
        """Gradient evaluations of the search for the settings of `method`, `spent` of them here; None if unknown.

        Trials of a warm start count. For a method that is not searched the space file states the cost.
        """
        if self.space.is_searched(method):
            return spent + (self.imported.spent.get(method.name, 0) if self.imported else 0)
        known = self.space.fixed.get(method.name)
        return None if known is None or known.search_cost is None else known.search_cost + spent

    def search_trials(self, method: Method) -> int:
        """Maximum number of search trials of `method`: the points of a grid; 1 if nothing is searched."""
        if self.space.search.grid:
            return len(self.space.grid(method))
        return self.trials if self.space.is_searched(method) else 1

    def most_expensive_trial(self, method: Method) -> int:
        """Gradient evaluations of a full trial of `method` with the earliest start and smallest interval."""
        if isinstance(method, OwnArm):
            return max(
                method.gradient_evaluations(settings, self.space.horizon)
                for settings in self._most_expensive(method)
            )
        settings = {"kappa": 1.0, "gamma": 0.5, "start_fraction": 0.0, "interval": 1, "lambda": 1.0}
        if method.ire:
            dimensions = self.space.dimensions(method)
            for name in ("start_fraction", "interval"):
                d = dimensions[name]
                settings[name] = min(ends(d))
            settings["start_loss"] = dimensions["start_loss"].published
        if method.base.curvature_interval:
            settings[method.base.curvature_interval] = 1
        batches = max(
            (self.space.full_batches({BATCH_SIZE: size}) for size in self.space.batches(method)), default=1.0
        )
        return math.ceil(method.gradient_evaluations(settings, self.space.horizon) * batches)

    def cost(self, method: Method, settings: Mapping[str, Any], horizon: int) -> int:
        """Gradient evaluations of a full trial of `method` with these settings."""
        return round(method.gradient_evaluations(settings, horizon) * self.space.full_batches(settings))

    def _most_expensive(self, arm: Method) -> Iterator[dict[str, Any]]:
        """Settings of a training function's arm that include the most expensive one.

        They cover each optimizer and each end of IRE's boost, with masks as early and as often as the space allows.
        """
        dimensions = self.space.dimensions(arm)
        varied = [name for name in (OPTIMIZER, "kappa", "gamma") if name in dimensions]
        for values in product(*(ends(dimensions[name]) for name in varied)):
            settings = self.space.complete(arm, dict(zip(varied, values, strict=True)))
            for name in settings.keys() & {"start_fraction", "interval"}:
                settings[name] = min(ends(dimensions[name]))
            yield settings
