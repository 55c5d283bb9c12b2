"""Reads a space file and checks every key of it."""

import tomllib
from collections.abc import Mapping
from typing import Any

from ire.invalid_input import InvalidInput, unknown
from ire.methods.composed import Method
from ire.methods.method import parse_method
from ire.methods.part import Base
from ire.methods.registry import part_of, parts
from ire.methods.schedule import check_schedule
from ire.methods.shared import SHARED
from ire.methods.task_settings import BATCH_SIZE, PREFIX
from ire.plain_values import is_list, is_table
from ire.trial.metric import LOSS, Metric, read_metric
from ire.trial.scale import ORIGINAL, TINY, split_scale
from search_spaces.arms import default_confirm, default_search, read_arms
from search_spaces.conditions import in_order
from search_spaces.contents import TASK, Space
from search_spaces.dimensions import Dimension
from search_spaces.known_points import check_known, read_fixed, read_known
from search_spaces.ranges import tables
from search_spaces.search import SAMPLERS, SELECT, Search
from search_spaces.tables import read_dimensions, settings_of, table_at, whole_number

BY_ANOTHER = 'search and verdict use [objective], as in metric = "val_accuracy", mode = "max"'
"""Advice in a message about a key that may be meant as a metric."""


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
        "objective",
        TASK,
        "points",
        "fixed",
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
    horizon = whole_number(table, "horizon", source=source)
    arms = read_arms(table["arms"], source=source) if "arms" in table else {}
    if arms:
        table = _of_arms(table, horizon, source=source)
    elif "search" not in table:
        raise InvalidInput(
            f"{source} has neither [arms.NAME], the arms of a training function (docs/bring-your-own.md), nor [search] "
            "and tables of methods, as for a task (docs/spaces.md)"
        )
    epoch_steps = whole_number(table, "epoch_steps", source=source) if "epoch_steps" in table else None
    overrides: dict[str, dict[str, Dimension]] = {}
    for name, entries in table_at(table, "methods", source).items():
        method = parse_method(name, where=f"{source}, [methods]")
        overrides[name] = read_dimensions(
            entries, method.settings | method.options, where=f"{source}, [methods.{name}]"
        )

    def find(name: str, *, where: str = "") -> Method:
        if arms and name not in arms:
            raise unknown("arm", name, arms, where=where)
        return arms[name].arm if arms else parse_method(name, where=where)

    confirm, place = table_at(table, "confirm", source), f"{source}, [confirm]"
    space = Space(
        task=task,
        description=str(table.get("description", "")),
        horizon=horizon,
        eval_interval=whole_number(table, "eval_interval", source=source, high=horizon),
        methods=tuple(arms)
        or tuple(
            parse_method(name, where=f"{source}, default_methods").name
            for name in _default_methods(table, source)
        ),
        search=_search(table_at(table, "search", source), horizon, where=f"{source}, [search]"),
        confirm_seeds=whole_number(confirm, "seeds", source=place),
        candidates=whole_number(confirm, "candidates", source=place, default=1),
        studies=whole_number(confirm, "studies", source=place, default=1),
        flatness_batches=whole_number(confirm, "flatness_batches", source=place, low=0, default=2),
        flatness_points=whole_number(confirm, "flatness_points", source=place, default=1),
        schedule=check_schedule(str(table.get("schedule", "cosine")), where=source),
        epoch_steps=epoch_steps,
        source=source,
        text=text,
        parts=_of_the_task(table, source)
        | {
            name: read_dimensions(
                table_at(table, name, source),
                settings_of(SHARED, part),
                where=f"{source}, [{name}]",
            )
            for name, part in found.items()
            if name in table or not isinstance(part, Base) or not part.searched
        },
        overrides=overrides,
        arms=arms,
        metric=_metric(table, source),
        known=read_known(table, find, source),
        fixed=read_fixed(table, find, source),
    )
    _check_conditions(space)
    _check_batches(space)
    check_known(space)
    keys = ("seeds", "candidates", "studies", "flatness_batches", "flatness_points")
    for unused in set(confirm) - set(keys):
        raise unknown("key", unused, keys, where=place)
    return space


def _of_arms(table: Mapping[str, Any], horizon: int, *, source: str) -> dict[str, Any]:
    """A file with arms, its defaults filled in; raises `InvalidInput` if it also has tables for methods."""
    known = (
        "description",
        "horizon",
        "eval_interval",
        "search",
        "confirm",
        "schedule",
        "epoch_steps",
        "objective",
        "points",
        "fixed",
        "arms",
    )
    for key in table:
        if key not in known:
            raise unknown("key", key, known, where=f"{source}, which has [arms]")
    interval = whole_number(table, "eval_interval", source=source, high=horizon)
    own = {key: table_at(table, key, source) for key in ("search", "confirm")}
    usual = {} if own["search"].get("grid") else default_search(horizon, interval)
    return {
        **table,
        "search": usual | own["search"],
        "confirm": default_confirm() | own["confirm"],
    }


def _default_methods(table: Mapping[str, Any], source: str) -> list[Any]:
    names = table.get("default_methods", ["sgd", "sgd-ire"])
    if not is_list(names):
        raise InvalidInput(f"{source}: default_methods = {names!r}: must be a list, as in ['sgd', 'adamw']")
    return names


def _scaled(table: dict[str, Any], *, scale: str | None, source: str) -> dict[str, Any]:
    """The table of the task itself (`scale` None or `original`), or of its scaled-down twin."""
    twin = table_at(table, TINY, source)
    table = {key: value for key, value in table.items() if key != TINY}
    if scale in (None, ORIGINAL):
        return table
    if scale != TINY or not twin:
        raise unknown("scale", scale, [TINY] if twin else [], where=source)
    return overlaid(table, twin)


def overlaid(table: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`table` updated with `over`, table by table; the description of a setting is replaced as a whole."""
    merged = dict(table)
    for key, value in over.items():
        both = is_table(value) and is_table(merged.get(key))
        merged[key] = overlaid(merged[key], value) if both and "published" not in value else value
    return merged


def _search(table: Mapping[str, Any], horizon: int, *, where: str) -> Search:
    allowed = tuple(Search.__dataclass_fields__)
    for key in table:
        if key not in allowed:
            raise unknown("key", key, allowed, where=where)
    rungs = table.get("rungs", [])
    whole = is_list(rungs) and all(isinstance(r, int) and not isinstance(r, bool) for r in rungs)
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
            f"{where}: select = {select!r}, measured = {measured!r}: must be one of {', '.join(SELECT)}, and a "
            f"boolean; {BY_ANOTHER}"
        )
    if not grid and (measured or select != "val_loss"):
        raise InvalidInput(f"{where}: select and measured are for a grid (grid = true); {BY_ANOTHER}")
    sampler = table.get("sampler", "tpe")
    if sampler not in SAMPLERS:
        raise InvalidInput(f"{where}: sampler = {sampler!r}: must be one of {', '.join(SAMPLERS)}")
    return Search(
        grid=grid,
        select=select,
        measured=measured,
        sampler=sampler,
        trials=whole_number(table, "trials", source=where),
        budget_per_trial=float(budget),
        rungs=tuple(rungs),
        reduction_factor=whole_number(table, "reduction_factor", source=where, low=2, default=2),
        startup_trials=whole_number(table, "startup_trials", source=where, default=4),
    )


def _metric(table: Mapping[str, Any], source: str) -> Metric:
    if "objective" not in table:
        return LOSS
    entries, where = table_at(table, "objective", source), f"{source}, [objective]"
    for key in entries:
        if key not in ("metric", "mode"):
            raise unknown("key", key, ("metric", "mode"), where=where)
    return read_metric(entries.get("metric"), entries.get("mode"), where=where)


def _of_the_task(table: Mapping[str, Any], source: str) -> dict[str, dict[str, Dimension]]:
    entries = table_at(table, TASK, source)
    return {TASK: read_dimensions({TASK: entries}, {}, where=f"{source}, [{TASK}]")} if entries else {}


def _check_conditions(space: Space) -> None:
    """Raise `InvalidInput` for a condition on a setting that nothing has, or conditions in a circle."""
    found = tables(space)
    here = {name for table in found.values() for name in table}
    known = here | {name for part in parts().values() for name in settings_of(part)}
    for table, dimensions in found.items():
        where = f"{space.source}, [{table}]"
        for name, dimension in dimensions.items():
            for other in dimension.when.names if dimension.when else ():
                if f"{PREFIX}{other}" in here and other not in known:
                    raise InvalidInput(
                        f"{where}, {name}: when = {dimension.when}: {other} is an attribute of the task; write "
                        f"{PREFIX}{other}"
                    )
                if other not in known:
                    raise unknown("setting", other, sorted(known), where=f"{where}, {name}, when")
        list(in_order(dimensions, where=where))


def _check_batches(space: Space) -> None:
    """Raise `InvalidInput` if batch sizes differ and none of them is the unit of cost."""
    tables = [*space.parts.values(), *space.overrides.values()]
    given = any(BATCH_SIZE in table for table in tables) or any(
        BATCH_SIZE in point.settings for point in space.fixed.values()
    )
    if given and space.batch_unit is None:
        raise InvalidInput(
            f"{space.source}: also give batch_size under [{TASK}]: budgets are counted in gradients "
            "of a batch of its published size"
        )
