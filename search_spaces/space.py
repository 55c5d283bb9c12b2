"""The search space of a task: read from TOML, checked to the last key, composed for each method.

A file has one table for each part a method can be made of (`[shared]`, `[sgd]`, `[adamw]`, `[sam]`, `[ire]`), and
may override dimensions for single methods under `[methods.NAME]`. A method's space is its parts' tables,
then the overrides of every method it is built from: `sgd-ire` extends `sgd`.
"""

import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Any

from ire.entry_points import TASKS, registered
from ire.invalid_input import InvalidInput, unknown
from ire.methods.composed import Method
from ire.methods.foreign import LR_DECADES
from ire.methods.method import parse_method
from ire.methods.part import Base, Part
from ire.methods.registry import part_of, parts
from ire.methods.setting import Setting
from ire.methods.shared import SHARED
from ire.trial.scale import ORIGINAL, TINY, split_scale
from ire.trial.schedule import check_schedule
from ire.trial.script import is_script
from search_spaces.arms import ArmSpace, default_confirm, default_search, read_arms
from search_spaces.dimensions import Choice, Dimension, Fixed, Interval, read_dimension

SELECT = ("val_loss", "train_loss")


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
    """One in so many trials passes a rung."""
    startup_trials: int
    """Trials of a method that are drawn at random before TPE suggests."""
    grid: bool = False
    """Try every combination of the choices, in order, everything else at its published value, and nothing is pruned."""
    select: str = "val_loss"
    """The final value whose lowest wins a grid: one of `SELECT`. A search that is no grid is judged by validation."""
    measured: bool = False
    """Whether every point of a grid is measured as a winner is: on the test split, and its flatness."""


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
    """Fresh seeds on which each method's winner is run again."""
    candidates: int
    """Trials of each method that are run again, on other seeds, before the winner is chosen."""
    studies: int = 1
    """Whole searches with their confirm runs, by default."""
    flatness_batches: int
    """Training batches on which the flatness of a confirmed solution is measured; 0 leaves it out."""
    flatness_points: int
    """How often it is measured, evenly along a confirm run; 1 is at the end alone."""
    schedule: str
    """The shape of the learning rate: see `ire.trial.schedule`."""
    epoch_steps: int | None
    """Optimizer steps of an epoch, where the task has epochs."""
    source: str
    """Where it was read, for messages."""
    text: str
    """The file itself, for the record of a sweep."""
    parts: Mapping[str, Mapping[str, Dimension]]
    overrides: Mapping[str, Mapping[str, Dimension]]
    arms: Mapping[str, ArmSpace] = field(default_factory=dict)
    """The arms of a training function (`search_spaces.arms`), in place of parts; empty for all else."""

    def method(self, name: str, *, where: str = "") -> Method:
        """The arm of that name: one of `arms`, or a method; raises `InvalidInput`."""
        if name in self.arms:
            return self.arms[name].arm
        if self.arms:
            raise unknown("arm", name, self.arms, where=where or self.source)
        return parse_method(name, where=where)

    @property
    def baselines(self) -> tuple[str, ...]:
        """The arms whose role is that of the yardstick."""
        return tuple(name for name, arm in self.arms.items() if arm.is_baseline)

    def dimensions(self, method: Method) -> dict[str, Dimension]:
        """The dimensions of `method` in the order of its settings."""
        if method.name in self.arms:
            return self._searched(dict(self.arms[method.name].dimensions))
        merged: dict[str, Dimension] = {}
        for part in method.parts:
            merged |= self._table(part)
        for ancestor in method.ancestors:
            merged |= self.overrides.get(ancestor, {})
        for name, setting in method.settings.items():
            if name not in merged and setting.default is None:
                raise InvalidInput(
                    f"{self.source}: {method.name} needs a range or value for {name!r} ({setting.doc})"
                )
        dimensions = {
            name: merged.get(name, Fixed(published=setting.default))
            for name, setting in method.settings.items()
        }
        dimensions |= {name: merged[name] for name in method.options if name in merged}
        return self._searched(dimensions)

    def _searched(self, dimensions: dict[str, Dimension]) -> dict[str, Dimension]:
        """The dimensions; in a grid only choices vary."""
        if self.search.grid:
            return {
                name: d if isinstance(d, Choice) else Fixed(published=d.published)
                for name, d in dimensions.items()
            }
        return dimensions

    def _table(self, part: Part) -> Mapping[str, Dimension]:
        """What the file says of a part; of a base optimizer without a table, what it says of itself."""
        default: dict[str, Dimension] = {}
        if isinstance(part, Base):
            place = f"{part.name}, by default"
            default = _dimensions(dict(part.searched), _settings(SHARED, part), where=place)
        for name in (part.name, part.name.partition("=")[2]):
            if name in self.parts:
                return default | self.parts[name]
        return default

    def says(self, method: Method) -> bool:
        """Whether the file has a table for the base optimizer of `method`, or ranges of its own for it."""
        if method.name in self.arms:
            return True
        own = {method.base.name, method.base.name.partition("=")[2]} & set(self.parts)
        return bool(own) or any(name in self.overrides for name in method.ancestors)

    def searched_by_default(self, method: Method) -> str | None:
        """What is searched for a method without a table here, in words; None for one that has one."""
        if self.says(method) or not method.base.searched:
            return None
        how = method.base.source or f"{LR_DECADES:g} decade on each side of the class's default"
        names = ", ".join(method.base.searched)
        return (
            f"{self.source} has no table for {method.base.label}: {names} by {how}; what is shared as for all methods, "
            "everything else fixed"
        )

    def grid(self, method: Method) -> list[dict[str, Any]]:
        """Every combination of the choices of `method`, the published one first."""
        choices = {name: d for name, d in self.dimensions(method).items() if isinstance(d, Choice)}
        points = [
            dict(zip(choices, values, strict=True))
            for values in product(*(d.values for d in choices.values()))
        ]
        published = {name: d.published for name, d in choices.items()}
        return sorted(points, key=lambda point: point != published)

    def published(self, method: Method) -> dict[str, Any]:
        """The published settings of `method`: what trial 0 runs."""
        return {name: dimension.published for name, dimension in self.dimensions(method).items()}

    def in_fractions(self, settings: Mapping[str, Any], *, where: str = "") -> dict[str, Any]:
        """`settings` with a `start_step` or `start_epoch` turned into the share of the horizon that it is.

        Raises `InvalidInput` for two starts at once, one past the horizon, or epochs where the task has none.
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
        unit = self.epoch_steps if given[0] == "start_epoch" else 1
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
        values = (
            [dimension.high]
            if isinstance(dimension, Interval)
            else getattr(dimension, "values", (dimension.published,))
        )
        return max(method.start({"start_fraction": value}, self.horizon) for value in values)

    def check_rungs(self, method: Method) -> None:
        """Refuse a first rung before IRE may have begun: it would judge nothing but the base optimizer."""
        start = self.latest_start(method)
        if method.ire and self.search.rungs and self.search.rungs[0] <= start:
            high = start / self.horizon
            raise InvalidInput(
                f"{self.source}: first rung {self.search.rungs[0]} is not after the latest start of {method.name}: "
                f"start_fraction up to {high:g} x horizon {self.horizon} = step {start}; until there it is bitwise "
                f"its base optimizer. Put the first rung above {start} or lower start_fraction"
            )


def space_names() -> list[str]:
    """The tasks that have a space in the package."""
    files = resources.files("search_spaces").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def find_space(task: str, path: str | Path | None = None) -> Space:
    """The space of `task`: the file at `path`, or the one that comes with the task; raises `InvalidInput`.

    A task of the package has it in this folder, one from outside beside its module, as `<its name>.toml`. The
    space of a scaled-down twin, `NAME@tiny`, is that of the task with what its file's `[tiny]` says instead.
    """
    is_registered = split_scale(task)[0] in registered(TASKS) and split_scale(task)[0] not in space_names()
    if path is None and is_script(task):
        path = _beside_script(task)
    elif path is None and (":" in task or is_registered):
        path = _beside(task)
    if path is None:
        name, _ = split_scale(task)
        if name not in space_names():
            raise unknown("task", name, [*space_names(), "package.module:Class"])
        file = resources.files("search_spaces") / f"{name}.toml"
        return parse_space(file.read_text(encoding="utf-8"), task=task, source=f"{name}.toml")
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read the space file {str(path)!r}: {error}") from error
    return parse_space(text, task=task, source=str(path))


def _beside_script(task: str) -> Path:
    script = Path(split_scale(task)[0].partition(":")[0]).expanduser()
    file = script.with_suffix(".toml")
    if script.is_file() and not file.exists():
        raise InvalidInput(
            f"task {task!r} has no search space: {str(file)!r} does not exist; write it or give --space FILE "
            "(docs/bring-your-own.md has one)"
        )
    if not script.is_file():
        raise InvalidInput(f"task {task!r}: there is no file {str(script)!r}")
    return file


def _beside(task: str) -> Path:
    from trainables.functions.function import TrainingFunction, load_workload  # only here: it brings torch

    loaded = load_workload(task)
    if isinstance(loaded, TrainingFunction):
        module = sys.modules[loaded.call.__module__]
        file = Path(module.__file__).with_suffix(".toml")
    else:
        found = type(loaded)
        file = Path(sys.modules[found.__module__].__file__).with_name(f"{found.name}.toml")
    if not file.exists():
        raise InvalidInput(
            f"task {task!r} has no search space: {file} does not exist; write it or give --space FILE"
        )
    return file


def parse_space(text: str, *, task: str, source: str) -> Space:
    """Read a space from TOML `text`; `source` is named in messages. Raises `InvalidInput`."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{source}: not TOML: {error}") from error
    table = _scaled(table, scale=split_scale(task)[1], source=source)
    top = (
        "description",
        "horizon",
        "eval_interval",
        "default_methods",
        "search",
        "confirm",
        "methods",
        "schedule",
        "epoch_steps",
        "arms",
        *parts(),
    )
    found = parts()
    for key in table:
        if key not in top:
            part = part_of(key)
            if part is None:
                raise unknown("key", key, top, where=source)
            found[key] = part
    horizon = _integer(table, "horizon", source=source)
    arms = read_arms(table["arms"], source=source) if "arms" in table else {}
    if arms:
        table = _of_arms(table, horizon, source=source)
    epoch_steps = _integer(table, "epoch_steps", source=source) if "epoch_steps" in table else None
    overrides = {}
    for name, entries in _table(table, "methods", source).items():
        method = parse_method(name, where=f"{source}, [methods]")
        overrides[name] = _dimensions(
            entries, method.settings | method.options, where=f"{source}, [methods.{name}]"
        )
    confirm, place = _table(table, "confirm", source), f"{source}, [confirm]"
    space = Space(
        task=task,
        description=str(table.get("description", "")),
        horizon=horizon,
        eval_interval=_integer(table, "eval_interval", source=source, high=horizon),
        methods=tuple(arms)
        or tuple(
            parse_method(name, where=f"{source}, default_methods").name
            for name in table.get("default_methods", ["sgd", "sgd-ire"])
        ),
        search=_search(_table(table, "search", source), horizon, where=f"{source}, [search]"),
        confirm_seeds=_integer(confirm, "seeds", source=place),
        candidates=_integer(confirm, "candidates", source=place, default=1),
        studies=_integer(confirm, "studies", source=place, default=1),
        flatness_batches=_integer(confirm, "flatness_batches", source=place, low=0, default=2),
        flatness_points=_integer(confirm, "flatness_points", source=place, default=1),
        schedule=check_schedule(str(table.get("schedule", "cosine")), where=source),
        epoch_steps=epoch_steps,
        source=source,
        text=text,
        parts={
            name: _dimensions(
                _table(table, name, source),
                _settings(SHARED, part),
                where=f"{source}, [{name}]",
            )
            for name, part in found.items()
            if name in table or not isinstance(part, Base) or not part.searched
        },
        overrides=overrides,
        arms=arms,
    )
    keys = ("seeds", "candidates", "studies", "flatness_batches", "flatness_points")
    for unused in set(confirm) - set(keys):
        raise unknown("key", unused, keys, where=place)
    return space


def _of_arms(table: Mapping[str, Any], horizon: int, *, source: str) -> dict[str, Any]:
    """A file with arms, what it leaves out filled in; raises `InvalidInput` if it also has tables for methods."""
    known = (
        "description",
        "horizon",
        "eval_interval",
        "search",
        "confirm",
        "schedule",
        "epoch_steps",
        "arms",
    )
    for key in table:
        if key not in known:
            raise unknown("key", key, known, where=f"{source}, which has [arms]")
    interval = _integer(table, "eval_interval", source=source, high=horizon)
    own = {key: _table(table, key, source) for key in ("search", "confirm")}
    usual = {} if own["search"].get("grid") else default_search(horizon, interval)
    return {
        **table,
        "search": usual | own["search"],
        "confirm": default_confirm() | own["confirm"],
    }


def _scaled(table: dict[str, Any], *, scale: str | None, source: str) -> dict[str, Any]:
    """The table of the task itself (`scale` None or `original`), or of its scaled-down twin."""
    twin = _table(table, TINY, source)
    table = {key: value for key, value in table.items() if key != TINY}
    if scale in (None, ORIGINAL):
        return table
    if scale != TINY or not twin:
        raise unknown("scale", scale, [TINY] if twin else [], where=source)
    return overlaid(table, twin)


def overlaid(table: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `table`, table by table down to a setting, whose description is replaced whole."""
    merged = dict(table)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = overlaid(merged[key], value) if both and "published" not in value else value
    return merged


def _search(table: Mapping[str, Any], horizon: int, *, where: str) -> Search:
    allowed = tuple(Search.__dataclass_fields__)
    for key in table:
        if key not in allowed:
            raise unknown("key", key, allowed, where=where)
    rungs = table.get("rungs", [])
    whole = isinstance(rungs, list) and all(isinstance(r, int) and not isinstance(r, bool) for r in rungs)
    if not whole or rungs != sorted(set(rungs)) or not all(0 < r < horizon for r in rungs):
        raise InvalidInput(
            f"{where}: rungs = {rungs!r}: must be rising whole steps between 0 and the horizon {horizon}, both excluded"
        )
    budget = table.get("budget_per_trial", 1.0)
    if isinstance(budget, bool) or not isinstance(budget, int | float) or not 0 < budget <= 2:
        raise InvalidInput(f"{where}: budget_per_trial = {budget!r}: must be a number in (0, 2]")
    grid = table.get("grid", False)
    if not isinstance(grid, bool) or (grid and rungs):
        raise InvalidInput(f"{where}: grid = {grid!r}: must be true or false, and a grid has no rungs")
    select, measured = table.get("select", "val_loss"), table.get("measured", False)
    if select not in SELECT or not isinstance(measured, bool):
        raise InvalidInput(
            f"{where}: select = {select!r}, measured = {measured!r}: must be one of {', '.join(SELECT)}, and a boolean"
        )
    if not grid and (measured or select != "val_loss"):
        raise InvalidInput(f"{where}: select and measured are for a grid (grid = true)")
    return Search(
        grid=grid,
        select=select,
        measured=measured,
        trials=_integer(table, "trials", source=where),
        budget_per_trial=float(budget),
        rungs=tuple(rungs),
        reduction_factor=_integer(table, "reduction_factor", source=where, low=2, default=2),
        startup_trials=_integer(table, "startup_trials", source=where, default=4),
    )


def _settings(*parts: Part) -> dict[str, Setting]:
    return {
        name: setting for part in parts for name, setting in (*part.settings.items(), *part.options.items())
    }


def _dimensions(entries: Any, settings: Mapping[str, Any], *, where: str) -> dict[str, Dimension]:
    if not isinstance(entries, dict):
        raise InvalidInput(f"{where}: must be a table")
    dimensions = {}
    for name, value in entries.items():
        if name not in settings:
            raise unknown("setting", name, settings, where=where)
        place = f"{where}, {name}"
        dimension = read_dimension(value, where=place)
        ends = (
            (dimension.low, dimension.high, dimension.published)
            if isinstance(dimension, Interval)
            else getattr(dimension, "values", (dimension.published,))
        )
        for end in ends:
            settings[name].check(name, end, where=where)
        if settings[name].type is int and isinstance(dimension, Interval) and not dimension.integer:
            raise InvalidInput(f"{place}: takes whole numbers: use integer = [low, high]")
        dimensions[name] = dimension
    return dimensions


def _table(table: Mapping[str, Any], key: str, source: str) -> dict[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise InvalidInput(f"{source}: {key} = {value!r}: must be a table, [{key}]")
    return value


def _integer(
    table: Mapping[str, Any],
    key: str,
    *,
    source: str,
    low: int = 1,
    high: int | None = None,
    default: int | None = None,
) -> int:
    value = table.get(key, default)
    if value is None:
        raise InvalidInput(f"{source}: {key} is missing")
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or value < low
        or (high is not None and value > high)
    ):
        limit = f"from {low} to {high}" if high is not None else f"of at least {low}"
        raise InvalidInput(f"{source}: {key} = {value!r}: must be an integer {limit}")
    return value
