"""The boost for a base that steps another optimizer and then changes the result.

Lookahead pulls the parameters back to slow weights every k steps, a schedule-free wrapper averages, post-local SGD
averages over workers, and `ZeroRedundancyOptimizer` fetches the other workers' parameters after their steps. The boost
applies to the step of the optimizer inside, as in the nesting `Lookahead(IRE(base))`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch.optim import Optimizer

from ire.optim.steps.boost import Boost, boosts_of
from ire.optim.steps.schedule_free import is_schedule_free
from ire.optim.wrapping.bases import INNER

STEPS_INSIDE = {
    "Lookahead": ("optimizer", "_base_optimizer"),
    "PostLocalSGDOptimizer": ("optim",),
    "ScheduleFreeWrapper": ("optimizer",),
    "ZeroRedundancyOptimizer": ("optim",),
}
"""Class -> attributes that may hold the optimizer it steps, in torch, pytorch_optimizer, torch_optimizer and timm."""


class Path(Protocol):
    """A way of taking a boosted step."""

    def step(self, base: Optimizer, boosts: Sequence[Boost]) -> None: ...


def inner_of(base: Optimizer) -> Optimizer | None:
    """The optimizer inside `base` whose step is boosted; None if the boost belongs to the step of `base` itself.

    Any other wrapper, such as OrthoGrad, counts only if its optimizer keeps its own sequence of weights.
    """
    for kind in type(base).__mro__:
        for name in STEPS_INSIDE.get(kind.__name__, ()):
            inner = vars(base).get(name)
            if isinstance(inner, Optimizer):
                return inner
    held = (vars(base).get(name) for name in INNER)
    wrapped = (it for it in held if isinstance(it, Optimizer))
    return next((it for it in wrapped if is_schedule_free(it) or inner_of(it) is not None), None)


class Inside:
    """Runs the base's own step, and boosts the step of the optimizer inside when the base calls it."""

    name = "inside"

    def __init__(self, best: Callable[[Optimizer], Path]) -> None:
        self._best = best

    def step(self, base: Optimizer, boosts: Sequence[Boost]) -> None:
        """One step of `base`, boosted."""
        inner = inner_of(base)
        assert inner is not None
        patched = vars(inner).get("step")  # as schedulers do

        def restore() -> None:
            if patched is not None:
                inner.step = patched
            else:
                vars(inner).pop("step", None)

        def boosted(closure: Any = None) -> None:
            restore()
            self._best(inner).step(inner, boosts_of(inner, boosts))

        inner.step = boosted  # pyright: ignore[reportAttributeAccessIssue] - of one overload
        try:
            base.step()
        finally:
            restore()
