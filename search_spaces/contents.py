"""The content of a space file: how much is searched, and the dimensions of each method.

A file has one table for each part that a method can have (`[shared]`, `[sgd]`, `[adamw]`, `[sam]`, `[ire]`), one for
attributes of the task (`[task]`), and may override dimensions for single methods under `[methods.NAME]`. A method's
space is its parts' tables, then the overrides of every method it is built from: `sgd-ire` extends `sgd`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from ire.invalid_input import InvalidInput, unknown
from ire.methods.composed import Method
from ire.methods.foreign import LR_DECADES
from ire.methods.method import parse_method
from ire.methods.part import Base, Part
from ire.methods.shared import SHARED
from ire.methods.task_settings import BATCH_SIZE, is_of_task
from ire.trial.metric import LOSS, Metric
from search_spaces.arms import ArmSpace
from search_spaces.conditions import active
from search_spaces.dimensions import Choice, Dimension, Fixed, ends, holds
from search_spaces.search import FixedPoint, Search
from search_spaces.tables import read_dimensions, settings_of

TASK = "task"
"""The table with attributes of the task, in a space file and in `Space.parts`."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """A read space file."""

    task: str
    description: str
    horizon: int
    """Optimizer steps of a full trial."""
    eval_interval: int
    """Optimizer steps between two reports."""
    methods: tuple[str, ...]
    """The methods that a sweep compares if none are named."""
    search: Search
    confirm_seeds: int
    """The number of fresh seeds on which each method's winner is run again."""
    candidates: int
    """The number of trials of each method that are run again, on other seeds, before the winner is chosen."""
    studies: int = 1
    """The default number of studies: whole searches with their confirm runs."""
    flatness_batches: int
    """The number of training batches on which the flatness of a confirmed solution is measured; 0 omits it."""
    flatness_points: int
    """How often flatness is measured, evenly along a confirm run; 1 means only at the end."""
    schedule: str
    """The shape of the learning rate: see `ire.methods.schedule`."""
    epoch_steps: int | None
    """Optimizer steps per epoch, if the task has epochs."""
    source: str
    """Where the file was read, for messages."""
    text: str
    """The text of the file, for the record of a sweep."""
    parts: Mapping[str, Mapping[str, Dimension]]
    overrides: Mapping[str, Mapping[str, Dimension]]
    arms: Mapping[str, ArmSpace] = field(default_factory=dict[str, ArmSpace])
    """The arms of a training function (`search_spaces.arms`), in place of parts; empty for a task."""
    metric: Metric = LOSS
    """The metric that search and verdict compare."""
    known: Mapping[str, Sequence[Mapping[str, Any]]] = field(
        default_factory=dict[str, Sequence[Mapping[str, Any]]]
    )
    """Points of each method that are known to be good; they are tried right after the published one."""
    fixed: Mapping[str, FixedPoint] = field(default_factory=dict[str, FixedPoint])
    """The methods that are not searched, with their settings."""

    def method(self, name: str, *, where: str = "") -> Method:
        """The arm of that name: one of `arms`, or a method; raises `InvalidInput`."""
        if name in self.arms:
            return self.arms[name].arm
        if self.arms:
            raise unknown("arm", name, self.arms, where=where or self.source)
        return parse_method(name, where=where)

    @property
    def baselines(self) -> tuple[str, ...]:
        """The arms whose role is `baseline`."""
        return tuple(name for name, arm in self.arms.items() if arm.is_baseline)

    @property
    def selects(self) -> Metric:
        """The value by which the trials of a search are ranked: `metric`, unless a grid sets another."""
        by_another = self.search.grid and self.search.select != LOSS.name
        return Metric(name=self.search.select) if by_another else self.metric

    def dimensions(self, method: Method) -> dict[str, Dimension]:
        """The dimensions of `method` in the order of its settings, those of the task last."""
        dimensions = self._searched(method)
        point = self.fixed.get(method.name)
        if point is None:
            return dimensions
        settings = {name: d.published for name, d in dimensions.items()} | dict(point.settings)
        taking_part = active(dimensions, settings, where=self.source)
        default = {name: setting.default for name, setting in method.settings.items()}
        found: dict[str, Dimension] = {
            name: Fixed(published=settings[name] if name in taking_part else default[name])
            for name in dimensions
            if name in taking_part or name in default
        }
        return found | {
            name: Fixed(published=settings[name]) for name in point.settings if name not in dimensions
        }

    def _searched(self, method: Method) -> dict[str, Dimension]:
        if method.name in self.arms:
            return self._varied(dict(self.arms[method.name].dimensions))
        merged = {name: d for table in self._tables(method).values() for name, d in table.items()}
        for name, setting in method.settings.items():
            if name not in merged and setting.default is None:
                raise InvalidInput(
                    f"{self.source}: {method.name} needs a range or value for {name!r} ({setting.doc}), in a table of "
                    "a space file (--space), as its constructor has no number for it"
                )
            if setting.default is None and merged[name].when is not None:
                raise InvalidInput(
                    f"{self.source}: {name} of {method.name} has no default and must always have a value: it cannot "
                    f"depend on {merged[name].when}"
                )
        dimensions = {
            name: merged.get(name, Fixed(published=setting.default))
            for name, setting in method.settings.items()
        }
        dimensions |= {name: merged[name] for name in method.options if name in merged}
        dimensions |= {name: d for name, d in merged.items() if is_of_task(name)}
        return self._varied(dimensions)

    def _varied(self, dimensions: dict[str, Dimension]) -> dict[str, Dimension]:
        """The dimensions; in a grid only choices vary."""
        if self.search.grid:
            return {
                name: d if isinstance(d, Choice) else Fixed(published=d.published, when=d.when)
                for name, d in dimensions.items()
            }
        return dimensions

    def _tables(self, method: Method) -> dict[str, Mapping[str, Dimension]]:
        """The tables that apply to a method, by name, from the general to the special."""
        if method.name in self.arms:
            return {f"arms.{method.name}": self.arms[method.name].dimensions}
        tables = {TASK: self.parts.get(TASK, {})}
        tables |= {self._key(part): self._table(part) for part in method.parts}
        overrides = {f"methods.{name}": self.overrides.get(name, {}) for name in method.ancestors}
        return tables | overrides

    def table_of(self, method: Method, setting: str) -> str:
        """The table that defines the dimension of a setting, such as `shared`, `sgd` or `methods.sgd-ire`."""
        return [name for name, table in self._tables(method).items() if setting in table][-1]

    def active(self, method: Method, settings: Mapping[str, Any]) -> set[str]:
        """The names of the dimensions that are active in `settings`: those whose conditions hold."""
        return active(self.dimensions(method), settings, where=self.source)

    def complete(self, method: Method, point: Mapping[str, Any]) -> dict[str, Any]:
        """`point` with published values for missing settings, and without settings that are not active in it."""
        return self._complete(self.dimensions(method), point)

    def _complete(self, dimensions: Mapping[str, Dimension], point: Mapping[str, Any]) -> dict[str, Any]:
        settings = {name: d.published for name, d in dimensions.items()} | dict(point)
        taking_part = active(dimensions, settings, where=self.source)
        return {name: value for name, value in settings.items() if name in taking_part}

    def points(self, method: Method) -> list[dict[str, Any]]:
        """The points tried before any is suggested: the published settings, then the points known to be good.

        Points of the methods that `method` is built from are also tried, after its own, unless they are outside its
        ranges.
        """
        dimensions = self.dimensions(method)
        found = [self._complete(dimensions, {})]
        for name in reversed(method.ancestors or (method.name,)):
            for point in self.known.get(name, ()):
                given = {key: value for key, value in point.items() if key in dimensions}
                inside = all(holds(dimensions[key], value) for key, value in given.items())
                complete = self._complete(dimensions, given)
                if inside and complete not in found:
                    found.append(complete)
        return found

    @property
    def batch_unit(self) -> int | None:
        """The published batch size, whose gradient is one gradient evaluation, if batch sizes differ.

        None if every trial has the batch size of the task.
        """
        dimension = self.parts.get(TASK, {}).get(BATCH_SIZE)
        return None if dimension is None or dimension.published is None else int(dimension.published)

    def batches(self, method: Method) -> tuple[int, ...]:
        """The sizes that bound the batches of a method's trials; empty if they have the task's batch size."""
        dimension = self.dimensions(method).get(BATCH_SIZE)
        return ends(dimension) if dimension is not None else ()

    def full_batches(self, settings: Mapping[str, Any]) -> float:
        """The cost of a gradient with these settings, in gradients of a full batch."""
        return settings.get(BATCH_SIZE, self.batch_unit) / self.batch_unit if self.batch_unit else 1.0

    def _key(self, part: Part) -> str:
        """The name of a part's table in the file; the name of the part if there is no such table."""
        return next(
            (name for name in (part.name, part.name.partition("=")[2]) if name in self.parts), part.name
        )

    def _table(self, part: Part) -> Mapping[str, Dimension]:
        """The table of a part; for a base optimizer without a table, the optimizer's own default."""
        default: Mapping[str, Dimension] = {}
        if isinstance(part, Base):
            place = f"{part.name}, by default"
            default = read_dimensions(dict(part.searched), settings_of(SHARED, part), where=place)
        return {**default, **self.parts.get(self._key(part), {})}

    def says(self, method: Method) -> bool:
        """Whether the file has a table for the base optimizer of `method`, or ranges for it or one it is built from."""
        if method.name in self.arms:
            return True
        own = {method.base.name, method.base.name.partition("=")[2]} & set(self.parts)
        return bool(own) or any(name in self.overrides for name in method.ancestors)

    def searched_by_default(self, method: Method) -> str | None:
        """What is searched for a method without a table here, in words; None if there is a table."""
        if self.says(method) or not method.base.searched:
            return None
        source = method.base.source
        how = (
            f"in default ranges around published values from {source}"
            if source
            else f"{LR_DECADES:g} decade on each side of the default"
        )
        names = " and ".join(method.base.searched)
        return (
            f"{self.source} has no table for {method.base.label}, which searches {names} {how}; shared settings are "
            "searched as for all methods, and the rest is fixed"
        )

    def grid(self, method: Method) -> list[dict[str, Any]]:
        """Every combination of the choices of `method`, starting with the published one."""
        dimensions = self.dimensions(method)
        choices = {name: d for name, d in dimensions.items() if isinstance(d, Choice)}

        def point(values: Mapping[str, Any]) -> dict[str, Any]:
            return {
                name: value for name, value in self._complete(dimensions, values).items() if name in choices
            }

        combinations = product(*(d.values for d in choices.values()))
        points: list[dict[str, Any]] = []
        for values in combinations:
            found = point(dict(zip(choices, values, strict=True)))
            if found not in points:
                points.append(found)
        published = point({})
        return sorted(points, key=lambda point: point != published)

    def published(self, method: Method) -> dict[str, Any]:
        """The published settings of `method`: what trial 0 runs."""
        return self.complete(method, {})

    def is_searched(self, method: Method) -> bool:
        """Whether anything is left to search for a method."""
        return not all(isinstance(dimension, Fixed) for dimension in self.dimensions(method).values())

    def in_fractions(self, settings: Mapping[str, Any], *, where: str = "") -> dict[str, Any]:
        """`settings` with a `start_step` or `start_epoch` converted to a share of the horizon.

        Raises `InvalidInput` for two starts, a start past the horizon, or epochs if the task has none.
        """
        settings = dict(settings)
        given = [name for name in ("start_step", "start_epoch", "start_fraction") if name in settings]
        if len(given) > 1:
            raise InvalidInput(f"{' and '.join(given)} in {where}: give only one of them")
        if not given or given[0] == "start_fraction":
            return settings
        value = settings.pop(given[0])
        if given[0] == "start_epoch" and self.epoch_steps is None:
            raise InvalidInput(f"start_epoch in {where}: {self.source} has no epoch_steps; use start_step")
        unit = (self.epoch_steps or 1) if given[0] == "start_epoch" else 1
        latest = self.horizon / unit
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value < latest:
            raise InvalidInput(f"{given[0]} = {value!r} in {where}: must be a number in [0, {latest:g})")
        return settings | {"start_fraction": value * unit / self.horizon}

    def latest_start(self, method: Method) -> int:
        """The last step at which IRE may start in this space (0 without IRE)."""
        if not method.ire:
            return 0
        dimension = self.dimensions(method)["start_fraction"]
        return max(method.start({"start_fraction": value}, self.horizon) for value in ends(dimension))

    def check_rungs(self, method: Method) -> None:
        """Refuse a first rung before the latest start of IRE: it would judge only the base optimizer."""
        start = self.latest_start(method)
        if method.ire and self.search.rungs and self.search.rungs[0] <= start:
            high = start / self.horizon
            raise InvalidInput(
                f"{self.source}: first rung {self.search.rungs[0]} is not after the latest start of {method.name}: "
                f"start_fraction up to {high:g} x horizon {self.horizon} = step {start}; until there it is bitwise "
                f"its base optimizer. Put the first rung above {start} or lower start_fraction"
            )
