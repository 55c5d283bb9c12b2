"""The boost for a base that steps another optimizer and then does something with where that went.

Lookahead pulls the parameters back to slow weights every k steps, and a schedule-free wrapper averages. What is boosted
is the step of the optimizer inside, the fast weights: the same as to nest the other way round, `Lookahead(IRE(base))`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch.optim import Optimizer

from ire.optim.steps.boost import Boost

STEPS_INSIDE = {"Lookahead": ("optimizer", "_base_optimizer"), "ScheduleFreeWrapper": ("optimizer",)}
"""Class -> what it may call the optimizer that it steps: pytorch_optimizer, torch_optimizer and timm have them."""


class Path(Protocol):
    """A way of taking a boosted step."""

    def step(self, base: Optimizer, boosts: Sequence[Boost]) -> None: ...


def inner_of(base: Optimizer) -> Optimizer | None:
    """The optimizer that `base` steps and whose step is to be boosted; None for all others."""
    for kind in type(base).__mro__:
        for name in STEPS_INSIDE.get(kind.__name__, ()):
            inner = vars(base).get(name)
            if isinstance(inner, Optimizer):
                return inner
    return None


class Inside:
    """Lets the base step as it does, and boosts the step of the optimizer inside when it comes."""

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
            self._best(inner).step(inner, boosts)

        inner.step = boosted  # pyright: ignore[reportAttributeAccessIssue] - of one overload
        try:
            base.step()
        finally:
            restore()
