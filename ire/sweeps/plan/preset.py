"""The papers' experiments by name: task, methods, grid and seeds, and the values that the paper reports.

A preset is a TOML file in `presets/`. Its `[space]` overrides the space of its task and makes it a grid: settings with
a `choice` are tried in every combination, and all others keep their published values, as in the papers. So a preset
answers "do we reproduce their result", while a sweep without one answers "which method is best when all are tuned".
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from ire.invalid_input import unknown
from ire.sweeps.plan.toml_text import toml_text
from ire.trial.scale import TINY, scaled
from search_spaces.space import Space, find_space, overlaid, parse_space

GRID: dict[str, Any] = {"grid": True, "rungs": []}
SIZES = ("horizon", "eval_interval", "epoch_steps", "micro")
"""Values that the scaled-down twin of a task keeps, whatever the experiment sets."""


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
    """Whether all of IRE's trials have equal base settings, so that they share their first steps."""
    curve: tuple[float, ...]
    """Horizons of the baseline curve, in multiples of the task's."""
    precision: str
    overrides: Mapping[str, Any]
    paper: Mapping[str, Mapping[str, float]]
    """The paper's values by method and metric, accuracies as fractions; empty if unknown."""
    paper_of: str | None
    """The step at which the paper took these values; None for the last one, which ours are from."""

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
        return parse_space(toml_text(table), task=task, source=f"preset {self.name}")


def preset_names() -> list[str]:
    files = resources.files("ire.sweeps.plan") / "presets"
    return sorted(file.name.removesuffix(".toml") for file in files.iterdir() if file.name.endswith(".toml"))


def load_preset(name: str) -> Preset:
    """The preset of that name; raises `InvalidInput` with the nearest names."""
    if name not in preset_names():
        raise unknown("preset", name, preset_names())
    table = tomllib.loads(
        (resources.files("ire.sweeps.plan") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
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
