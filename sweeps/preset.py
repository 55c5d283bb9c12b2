"""The paper's experiments by name: which task, methods, grid and seeds, and what the paper reports beside ours.

A preset is a TOML file in `sweeps/presets/`. Its `[space]` goes over the space of its task as a grid: settings with a
`choice` are tried in every combination, all others stand at their published values, as in the papers. So a preset
answers "do we find what they found", and not "which method is best when all are tuned": that is a sweep without one.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from statistics import median
from typing import TYPE_CHECKING, Any

from search_spaces.space import Space, find_space, overlaid, parse_space
from trainables.invalid_input import unknown
from trainables.scale import TINY, scaled

if TYPE_CHECKING:
    from sweeps.experiment import Experiment

GRID = {"grid": True, "rungs": []}
SIZES = ("horizon", "eval_interval", "epoch_steps", "micro")
"""What a scaled-down twin has its own of, whatever the experiment's is."""
SECONDS_PER_STEP = "seconds_per_step"


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One experiment of a paper."""

    name: str
    title: str
    task: str
    methods: tuple[str, ...]
    seeds: int
    """Confirm runs of each method's best point."""
    share_prefix: bool
    """Whether the base settings of IRE's trials are all the same, so that they share their first steps."""
    curve: tuple[float, ...]
    """Horizons of the baseline, in multiples of the task's."""
    precision: str
    overrides: Mapping[str, Any]
    paper: Mapping[str, Mapping[str, float]]
    """Reported values by method and metric, accuracies as shares; empty where they are not known."""
    paper_of: str | None
    """What these are values of, if not of the last step as ours."""

    def space(self, scale: str | None = None) -> Space:
        """The grid, for the task or for its scaled-down twin."""
        task = scaled(self.task, scale)
        table = tomllib.loads(find_space(task).text)
        twin = table.get(TINY, {})
        grid = {"search": GRID | self.overrides.get("search", {})}
        table = overlaid(table, {**self.overrides, **grid})
        smaller = {key: value for key, value in self.overrides.items() if key not in SIZES}
        if twin:
            table[TINY] = overlaid(twin, {**smaller, **grid})
        return parse_space(as_toml(table), task=task, source=f"preset {self.name}")


@dataclass(frozen=True, kw_only=True)
class Beside:
    """One number of the paper and ours."""

    method: str
    metric: str
    paper: float
    ours: float | None
    """The mean over the confirm seeds; None before there are any."""
    spread: float | None

    @property
    def difference(self) -> float | None:
        return None if self.ours is None else self.ours - self.paper


def preset_names() -> list[str]:
    files = resources.files("sweeps") / "presets"
    return sorted(file.name.removesuffix(".toml") for file in files.iterdir() if file.name.endswith(".toml"))


def load_preset(name: str) -> Preset:
    """The preset of that name; raises `InvalidInput` with the nearest ones."""
    if name not in preset_names():
        raise unknown("preset", name, preset_names())
    table = tomllib.loads(
        (resources.files("sweeps") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    )
    return Preset(
        name=name,
        title=table["title"],
        task=table["task"],
        methods=tuple(table["methods"]),
        seeds=table["seeds"],
        share_prefix=table.get("share_prefix", False),
        curve=tuple(table.get("curve", ())),
        precision=table.get("precision", "fp32"),
        overrides=table["space"],
        paper=table.get("paper", {}),
        paper_of=table.get("paper_of"),
    )


def beside_the_paper(experiment: "Experiment") -> Iterator[Beside]:
    """The paper's numbers and ours, method by method; nothing for a sweep without a preset."""
    if experiment.plan.preset is None:
        return
    rows = {row.method: row for row in experiment.comparison.rows}
    for method, values in load_preset(experiment.plan.preset).paper.items():
        for metric, paper in values.items():
            found = _ours(rows[method], metric) if method in rows else None
            mean, spread = found if found is not None else (None, None)
            yield Beside(method=method, metric=metric, paper=paper, ours=mean, spread=spread)


def _ours(row: Any, metric: str) -> tuple[float, float] | None:
    if metric != SECONDS_PER_STEP:
        return row.metric(metric)
    seconds = [run.seconds / run.step for run in row.runs if run.step]
    return (median(seconds), max(seconds) - min(seconds)) if seconds else None


def as_toml(table: Mapping[str, Any]) -> str:
    """A table as TOML: its values first, then one level of tables, whose own tables are inline."""
    lines = [f"{key} = {_inline(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += ["", f"[{key}]", *(f"{_key(name)} = {_inline(entry)}" for name, entry in value.items())]
    return "\n".join(lines) + "\n"


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_inline(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _key(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() else json.dumps(name)
