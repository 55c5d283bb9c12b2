"""An optimizer around another one: the common part of IRE and SAM."""

from collections import defaultdict
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import (
    _global_optimizer_post_hooks,  # pyright: ignore[reportPrivateUsage] - torch offers no public way to switch them off
    _global_optimizer_pre_hooks,  # pyright: ignore[reportPrivateUsage]
)

_HOOKS: tuple[dict[int, Any], ...] = (_global_optimizer_pre_hooks, _global_optimizer_post_hooks)


class Wrapper(Optimizer):
    """A real `torch.optim.Optimizer` that owns no parameters: groups and state are its base's.

    `param_groups`, `state` and `defaults` are looked up in the base at every access, so they stay
    identical to the base's, also after either of the two has loaded a checkpoint. That is what
    lets schedulers, clipping, `GradScaler` and logging work on the wrapper as on the base.

    Raises:
        TypeError: `base` is not an optimizer.
    """

    def __init__(self, base: Optimizer) -> None:
        if not isinstance(base, Optimizer):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may have no types
            raise TypeError(
                f"base must be a torch.optim.Optimizer, got {_no_optimizer(base, type(self).__name__)}"
            )
        self.base = base
        super().__setstate__({})  # hooks and profiling names; no parameter lists of its own

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return self.base.param_groups

    @param_groups.setter
    def param_groups(  # pyright: ignore[reportIncompatibleVariableOverride] - looked up at every access
        self, groups: list[dict[str, Any]]
    ) -> None:
        self.base.param_groups = groups

    @property
    def state(self) -> dict[Tensor, Any]:
        return self.base.state

    @state.setter
    def state(  # pyright: ignore[reportIncompatibleVariableOverride] - looked up at every access
        self, state: dict[Tensor, Any]
    ) -> None:
        self.base.state = cast(defaultdict[Tensor, Any], state)

    @property
    def defaults(self) -> dict[str, Any]:
        return getattr(self.base, "defaults", {})  # `PostLocalSGDOptimizer` has none

    @defaults.setter
    def defaults(self, defaults: dict[str, Any]) -> None:
        self.base.defaults = defaults

    def __getattr__(self, name: str) -> Any:
        """`train` and `eval` of a base that has them (schedule-free); callers ask whether they exist."""
        if name in ("train", "eval") and "base" in self.__dict__:
            return getattr(self.base, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def parameters(self) -> list[Tensor]:
        """All parameters of all groups, in the order in which a state dict numbers them."""
        return [p for group in self.param_groups for p in group["params"]]

    def __getstate__(self) -> dict[str, Any]:
        """For copies: everything but hooks and a `step` that schedulers patched, as in torch.

        torch's own `__getstate__` lacks the attributes that subclasses add; the base's are added here.
        """
        known = self.base.__getstate__()
        extra = {k: v for k, v in _lasting(self.base).items() if k not in known}
        return _lasting(self) | {"_base_attributes": extra}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        attributes = state.pop("_base_attributes", {})
        super().__setstate__(state)
        for name, value in attributes.items():
            self.base.__dict__.setdefault(name, value)

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.base.zero_grad(set_to_none)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        self.base.add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """The base's state dict; a wrapper with memory of its own adds an entry in `_packed`."""
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        packed = self._packed(self.base.state_dict())
        for hook in self._optimizer_state_dict_post_hooks.values():
            packed = _replaced(hook(self, packed), packed)
        return packed

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a result of `state_dict`. A dict that does not fit raises before anything changes."""
        packed = dict(state_dict)
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            packed = _replaced(hook(self, packed), packed)
        self._load(packed)
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def _packed(self, base_state: dict[str, Any]) -> dict[str, Any]:
        return base_state

    def _load(self, state: dict[str, Any]) -> None:
        self.base.load_state_dict(state)

    # torch's stub has closures that return a float
    def step(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, closure: Callable[[], Tensor] | None = None
    ) -> Tensor | None:
        raise NotImplementedError


def without_global_hooks() -> AbstractContextManager[None]:
    """Disable torch's global step hooks, which already see the wrapper's step, while its base steps."""
    return _without_hooks() if any(_HOOKS) else nullcontext()


@contextmanager
def _without_hooks() -> Generator[None, None, None]:
    kept = [dict(table) for table in _HOOKS]
    for table in _HOOKS:
        table.clear()
    try:
        yield
    finally:
        for table, hooks in zip(_HOOKS, kept, strict=True):
            table.update(hooks)


def _replaced(returned: dict[str, Any] | None, given: dict[str, Any]) -> dict[str, Any]:
    return given if returned is None else returned


def _no_optimizer(base: object, wrapper: str) -> str:
    """What was passed as the base, and what to pass instead."""
    name = type(base).__name__
    if callable(getattr(base, "step", None)) and hasattr(base, "param_groups"):
        return f"{name}, which is not a subclass of it; if it wraps an optimizer, nest {name}({wrapper}(...)) instead"
    return f"{name}; build it first, as in torch.optim.AdamW(model.parameters(), lr=6e-4)"


def _lasting(optimizer: Optimizer) -> dict[str, Any]:
    """Its attributes without hooks, profiler names and a patched `step`."""
    passing = ("_optimizer_", "_zero_grad_")
    return {k: v for k, v in optimizer.__dict__.items() if k != "step" and not k.startswith(passing)}
