"""Figures of the searched settings: which of them mattered, each on its own, and all at once."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ire.methods.setting import Value
from ire.plain_values import is_number
from ire.sweeps.findings.results import Results
from ire.sweeps.findings.rows import Row
from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import TrialRecord
from ire.sweeps.report.drawing.palette import Style
from ire.sweeps.report.drawing.panel import Axis, Panel, Series
from ire.sweeps.report.drawing.picture import Picture
from ire.sweeps.report.pictures.searched import (
    finished_trials,
    note_with_value,
    position,
    searched,
    trial_note,
    value_axis,
)
from search_spaces import Interval

WORSE = "#9A9A9A"
"""Colour of the worse half of the trials."""


def setting_pictures(results: Results, styles: Mapping[str, Style]) -> list[Picture]:
    """The figures that have data; none before a search trial has finished."""
    plan, metric = results.widest_plan, results.comparison.metric
    rows = [row for row in results.comparison.rows if finished_trials(row, metric)]
    names = list(dict.fromkeys(name for row in rows for name in searched(plan, row.method)))
    if not names:
        return []
    pictures: list[Picture] = []
    known = {name: found for name, found in results.importances.items() if found}
    if known:
        pictures.append(
            Picture(
                name="importance",
                title="Which settings mattered",
                caption="fANOVA: each setting's share in the spread of final losses, over completed trials. Methods "
                "with fewer than eight completed trials are left out.",
                panels=[_importance(name, found, styles[name]) for name, found in known.items()],
                height=2.6,
            )
        )
    pictures.append(
        Picture(
            name="slices",
            title="Each setting by itself",
            caption=f"Final validation {metric.words} of every finished search trial against one setting at a time; "
            "the larger markers with a dark edge are the winners.",
            panels=[_slice(plan, rows, styles, name) for name in names],
            styles={row.method: styles[row.method] for row in rows},
            height=2.9,
        )
    )
    pictures.append(
        Picture(
            name="parallel",
            title="All settings at once",
            caption="One line per finished trial, from the bottom to the top of each setting's range; stronger lines "
            f"have a {metric.better} final {metric.words}. Thick lines are winners.",
            panels=[_parallel(plan, row, styles[row.method]) for row in rows if searched(plan, row.method)],
            height=2.9,
        )
    )
    return pictures


def _importance(method: str, found: Mapping[str, float], style: Style) -> Panel:
    """One bar per setting, the most important one on top."""
    ordered = sorted(found.items(), key=lambda item: -item[1])
    return Panel(
        title=method,
        x=Axis(label="importance", low=0.0, high=1.0),
        y=Axis(
            label="",
            low=len(ordered) - 0.5,
            high=-0.5,
            ticks=[(float(i), name) for i, (name, _) in enumerate(ordered)],
        ),
        series=[
            Series(
                name=method,
                style=style,
                x=[value for _, value in ordered],
                y=list(range(len(ordered))),
                line=False,
                bars=True,
                notes=[f"{name}: {value:.1%}" for name, value in ordered],
            )
        ],
    )


def _slice(plan: Plan, rows: Sequence[Row], styles: Mapping[str, Style], name: str) -> Panel:
    metric = plan.space.metric
    ranges: list[Interval] = []
    words: list[Value] = []
    series: list[Series] = []
    winners: list[Series] = []
    for row in rows:
        dimension = searched(plan, row.method).get(name)
        if dimension is None:
            continue
        if isinstance(dimension, Interval):
            ranges.append(dimension)
        elif not all(is_number(value) for value in dimension.values):
            words += [value for value in dimension.values if value not in words]
        won = [winner.trial for winner in row.winners]
        rest = [trial for trial in finished_trials(row, metric) if trial not in won]
        looks: dict[str, Any] = {"words": words, "styles": styles, "name": name}
        series.append(_marks(plan, row, rest, size=4.5, alpha=0.75, **looks))
        winners.append(_marks(plan, row, won, size=9, edged=True, **looks))
    return Panel(
        x=_slice_axis(name, ranges, words),
        y=value_axis(
            metric,
            f"validation {metric.words}",
            [value for each in (*series, *winners) for value in each.y],
        ),
        series=[each for each in (*series, *winners) if len(each.x)],
    )


def _marks(
    plan: Plan,
    row: Row,
    trials: Sequence[TrialRecord],
    *,
    words: Sequence[Any],
    styles: Mapping[str, Style],
    name: str,
    **looks: Any,
) -> Series:
    """The trials that have the setting; values that are `words` are placed side by side."""
    trials = [trial for trial in trials if name in trial.spec.settings]
    at = [trial.spec.settings[name] for trial in trials]
    return Series(
        name=row.method,
        style=styles[row.method],
        x=[words.index(value) for value in at] if words else at,
        y=[trial.final(plan.space.metric.name) for trial in trials],
        line=False,
        marked=True,
        notes=[trial_note(plan, trial) for trial in trials],
        **looks,
    )


def _slice_axis(name: str, ranges: Sequence[Interval], words: Sequence[Any]) -> Axis:
    if words:
        ticks = [(float(place), _word(value)) for place, value in enumerate(words)]
        return Axis(label=name, low=-0.5, high=len(words) - 0.5, ticks=ticks)
    if not ranges:
        return Axis(label=name)
    low, high = min(d.low for d in ranges), max(d.high for d in ranges)
    if all(d.log for d in ranges):
        room = (high / low) ** 0.03
        return Axis(label=name, log=True, low=low / room, high=high * room)
    return Axis(label=name, low=low - 0.03 * (high - low), high=high + 0.03 * (high - low))


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parallel(plan: Plan, row: Row, style: Style) -> Panel:
    """One line per trial, the worst drawn first; a setting that a trial does not have leaves a gap."""
    dimensions, won = searched(plan, row.method), [winner.trial for winner in row.winners]
    trials = sorted(finished_trials(row, plan.space.metric)[::-1], key=lambda trial: trial in won)
    worse = Style(WORSE, "-", style.marker)
    series: list[Series] = []
    for rank, trial in enumerate(trials):
        settings, share = trial.spec.settings, (rank + 1) / len(trials)
        series.append(
            Series(
                name=row.method,
                style=style if share > 0.5 or trial in won else worse,
                x=list(range(len(dimensions))),
                y=[
                    position(dimension, settings[name]) if name in settings else np.nan
                    for name, dimension in dimensions.items()
                ],
                solid=True,
                width=3.0 if trial in won else 1.1,
                alpha=1.0 if trial in won else 0.25 + 0.5 * share,
                note=note_with_value(plan, trial, won=trial in won),
            )
        )
    return Panel(
        title=row.method,
        x=Axis(
            label="",
            low=-0.25,
            high=len(dimensions) - 0.75,
            ticks=[(float(i), name) for i, name in enumerate(dimensions)],
        ),
        y=Axis(label="", low=-0.05, high=1.05, ticks=[(0.0, "low"), (1.0, "high")]),
        series=series,
    )
