"""Experiment trackers that follow a sweep beside TensorBoard: ours, and those that packages register (`ire.loggers`).

A tracker is a `Watcher` that is called with the plan. An exception of a tracker never ends a sweep: it is reported
once, and the tracker is not called again.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from ire.entry_points import LOGGERS, registered
from ire.foreign_text import in_one_line
from ire.invalid_input import InvalidInput, unknown
from ire.sweeps.plan.plan import Plan
from ire.sweeps.watch.watcher import Watcher

OURS = {
    "wandb": ("ire.sweeps.watch.wandb_logger", "WandbLogger"),
    "mlflow": ("ire.sweeps.watch.mlflow_logger", "MlflowLogger"),
}
EVENTS = ("opened", "started", "reported", "ended", "noticed", "tick", "closed")


def check_loggers(names: Sequence[str]) -> None:
    """Raise `InvalidInput` for a tracker that does not exist, or whose package is missing."""
    for name in names:
        _maker(name)


def loggers(names: Sequence[str], plan: Plan, say: Callable[[str], None]) -> list[Watcher]:
    """The trackers of these names; `say` gets the message when one of them fails. Raises as `check_loggers`."""
    return [Guarded(name, _maker(name), plan, say) for name in dict.fromkeys(names)]


def _maker(name: str) -> Callable[[Plan], Watcher]:
    try:
        if name in OURS:
            module, made = OURS[name]
            return getattr(import_module(module), made)
        if name in registered(LOGGERS):
            return registered(LOGGERS)[name].load()
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"--loggers {name}: the package {error.name!r} is not installed: pip install {error.name}"
        ) from error
    raise unknown("logger", name, [*OURS, *registered(LOGGERS)], where="--loggers")


class Guarded(Watcher):
    """A tracker whose failure disables it and nothing else."""

    def __init__(
        self, name: str, maker: Callable[[Plan], Watcher], plan: Plan, say: Callable[[str], None]
    ) -> None:
        self._name, self._maker, self._plan, self._say = name, maker, plan, say
        self._logger: Watcher | None = None
        self._works = True

    def tell(self, event: str, *arguments: Any) -> None:
        if not self._works:
            return
        try:
            self._logger = self._logger or self._maker(self._plan)
            getattr(self._logger, event)(*arguments)
        except Exception as error:
            self._works = False
            what = in_one_line(f"{type(error).__name__}: {error}")
            self._say(f"--loggers {self._name} failed and is no longer called: {what}")


def _passed_on(event: str) -> Callable[..., None]:
    def call(self: Guarded, *arguments: Any) -> None:
        self.tell(event, *arguments)

    call.__name__ = event
    return call


for _event in EVENTS:
    setattr(Guarded, _event, _passed_on(_event))
