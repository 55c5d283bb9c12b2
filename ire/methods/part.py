"""A part of a method: its settings and descriptions; for a base optimizer also how it is built and what it costs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from ire.extras import extra_of
from ire.invalid_input import InvalidInput
from ire.methods.setting import Setting

KINDS = ("matrices", "kernels", "embeddings", "heads", "vectors")
"""Hidden matrices; tensors of three dimensions and more; embeddings; the last linear layer; biases, norms, scalars."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part that methods are made of. The symbols of its settings are the papers'; fractions are of the horizon."""

    name: str
    """Its table in a space file."""
    words: str
    """What it is, for `ire methods`."""
    settings: Mapping[str, Setting] = field(default_factory=dict[str, Setting])
    options: Mapping[str, Setting] = field(default_factory=dict[str, Setting])
    """Settings that a trial only has if they are given, so that records without them stay unchanged."""

    def __hash__(self) -> int:
        return hash(self.name)


@dataclass(frozen=True, kw_only=True)
class Update(Part):
    """How a batch becomes a step, other than by its gradient."""

    needs: tuple[str, ...] = ()
    """The updates that it builds on, the most general first."""
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
    arguments: Mapping[str, str | tuple[str | float, ...]] = field(
        default_factory=dict[str, str | tuple[str | float, ...]]
    )
    """Constructor arguments that are not a setting of the same name: the setting, or the settings and numbers of a
    tuple."""
    fixed: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Constructor arguments that are not settings."""
    steps: Mapping[str, str] = field(default_factory=dict[str, str])
    """Constructor arguments in steps, each with the setting that is its share of the horizon; None if that is 0."""
    lacks: tuple[str, ...] = ()
    """Settings of every method that have no effect here."""
    schedules: tuple[str, ...] = ()
    """The schedules it supports, the usual one first; empty: all."""
    gradients: int = 1
    """The maximum cost of a step, in gradients of a full batch."""
    curvature_interval: str | None = None
    """The setting for how often it needs a gradient on sampled labels, as IRE does; None: never."""
    curvature_scale: str | None = None
    """The setting that multiplies the Hessian diagonal made from that gradient."""
    takes: tuple[str, ...] = ()
    """Kinds of parameters that it trains (`trainables.training.groups`); empty: all."""
    rest: "Base | None" = None
    """The base for the other parameters; its settings are among those of this one."""
    multipliers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Blocks of a Transformer, and the setting that multiplies the learning rate of their parameters."""
    rates: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further learning rates in its parameter groups that follow the schedule, and the setting of their peak."""
    refuses: Mapping[str, str] = field(default_factory=dict[str, str])
    """Why `sam` or `ire` cannot be put around it."""
    searched: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What is searched if a space file has no table for it, in the form of such a table."""
    source: str = ""
    """Where its published settings come from."""
    state_tensors: float = 2
    """Tensors of a parameter's size that it keeps; the maximum if that depends on the shape."""
    hues: tuple[str, str] | None = None
    """Its colour in figures, and the darker one of IRE around it."""
    sam_hues: tuple[str, str] | None = None
    """The same two with SAM around it."""
    found: Mapping[str, str] = field(default_factory=dict[str, str])
    """For a class from outside: how each setting was found."""
    unread: Mapping[str, str] = field(default_factory=dict[str, str])
    """For a class from outside: constructor arguments that stay at their default, and why."""

    __hash__ = Part.__hash__

    @property
    def label(self) -> str:
        """Its name in tables and figures: the part before `=` of a class that was given a short name."""
        return self.name.partition("=")[0]

    @property
    def package(self) -> str:
        """Where it comes from: `torch`, `pytorch_optimizer`, the user's own."""
        return self.constructor.partition(".")[0].partition(":")[0]

    def load(self) -> Callable[..., Any]:
        """The imported constructor; raises `InvalidInput` if the import fails."""
        module, _, name = self.constructor.partition(":")
        try:
            return getattr(import_module(module), name)
        except (ImportError, AttributeError) as error:
            extra = extra_of(module)
            remedy = f"pip install 'ire[{extra}]'" if extra else f"make {module} importable on every machine"
            raise InvalidInput(
                f"method {self.name!r} needs {self.constructor} ({error}): {remedy}"
            ) from error

    def keywords(self, settings: Mapping[str, Any], *, horizon: int | None = None) -> dict[str, Any]:
        """The constructor's keyword arguments for resolved `settings` of a method; `horizon` is in its own steps."""
        composed = {
            argument: settings[source]
            if isinstance(source, str)
            else tuple(settings[part] if isinstance(part, str) else part for part in source)
            for argument, source in self.arguments.items()
        }
        for argument, source in self.steps.items():
            composed[argument] = round(settings[source] * horizon) or None
        used = {name for name in self.steps.values()} | set(self.multipliers.values())
        for source in self.arguments.values():
            used |= {source} if isinstance(source, str) else set(source)
        if self.rest is not None:
            used |= set(self.rest.settings)
        used |= {self.curvature_interval, self.curvature_scale}
        own = [
            name for name in ("lr", "weight_decay") if name not in self.lacks and name not in self.arguments
        ]
        own += [*self.settings, *self.options]
        return (
            {name: settings[name] for name in own if name in settings and name not in used}
            | composed
            | dict(self.fixed)
        )
