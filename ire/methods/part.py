"""What a part of a method is: its settings and words, and of a base optimizer how it is built and what it costs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from ire.methods.setting import Setting


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part that methods are made of. The symbols of its settings are the papers'; fractions are of the horizon."""

    name: str
    """Its table in a space file."""
    words: str
    """What it is, for `ire methods`."""
    settings: Mapping[str, Setting] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash(self.name)


@dataclass(frozen=True, kw_only=True)
class Update(Part):
    """How a batch becomes a step, other than by its gradient."""

    needs: tuple[str, ...] = ()
    """The updates that it is built on, general first."""
    is_penalty: bool = False
    """Whether it adds `lambda` x a penalty to the loss of each micro-batch, and so differentiates twice."""
    is_graft: bool = False
    """Whether it prescribes the length of the gradient."""

    __hash__ = Part.__hash__


@dataclass(frozen=True, kw_only=True)
class Base(Part):
    """A base optimizer as data: nothing here imports torch before it is built."""

    constructor: str
    """The optimizer's class, as `module:Class`."""
    arguments: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    """Constructor arguments that are not a setting of the same name: the setting, or the settings of a tuple."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Constructor arguments that are no setting."""
    state_tensors: float = 2
    """Tensors of a parameter's size and type that it keeps."""
    hues: tuple[str, str] | None = None
    """Its colour in figures, and the darker one of IRE around it."""
    sam_hues: tuple[str, str] | None = None
    """The same two with SAM around it."""

    __hash__ = Part.__hash__

    def load(self) -> Callable[..., Any]:
        """The constructor, imported."""
        module, _, name = self.constructor.partition(":")
        return getattr(import_module(module), name)

    def keywords(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The constructor's keyword arguments for resolved `settings` of a method."""
        composed = {
            argument: settings[source]
            if isinstance(source, str)
            else tuple(settings[name] for name in source)
            for argument, source in self.arguments.items()
        }
        used = {
            name
            for source in self.arguments.values()
            for name in ((source,) if isinstance(source, str) else source)
        }
        own = {name: settings[name] for name in ("lr", "weight_decay", *self.settings) if name not in used}
        return own | composed | dict(self.fixed)
