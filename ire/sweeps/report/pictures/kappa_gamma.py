"""The figure of κ and γ: the final value of every IRE trial over the two settings that IRE adds."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ire.sweeps.findings.results import Results
from ire.sweeps.findings.rows import Row
from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import DIVERGED, PRUNED, TrialRecord
from ire.sweeps.report.drawing.palette import Style
from ire.sweeps.report.drawing.panel import Axis, Panel, Series
from ire.sweeps.report.drawing.picture import Picture
from ire.sweeps.report.drawing.shade import Field, Shade
from ire.sweeps.report.pictures.searched import (
    MAX_SHOWN,
    Searched,
    finished_trials,
    note_with_value,
    position,
    searched,
)
from search_spaces import Choice

PAIR = ("kappa", "gamma")
MIN_SHADED = 6
"""Fewest finished trials for which the space between them is shaded."""
BANDWIDTH = 0.13
"""Bandwidth of the shading as a share of a range; it fades out where no trial is near."""
GRID = 80
"""Points of the shading along each axis."""
ROOM = 0.03
"""Margin around a range, as a share of it."""
FINISHED, LOST, WON = Style("#444444", "-", "o"), Style("#444444", "-", "x"), Style("#1D1D1F", "-", "*")


def kappa_gamma_pictures(results: Results) -> list[Picture]:
    """One figure with a panel for each method that searches both and has finished trials; none without one."""
    plan, metric = results.widest_plan, results.comparison.metric
    panels = [
        _panel(plan, row)
        for row in results.comparison.rows
        if set(PAIR) <= set(searched(plan, row.method)) and _with_both(finished_trials(row, metric))
    ]
    if not panels:
        return []
    return [
        Picture(
            name="kappa-gamma",
            title="κ and γ",
            caption=f"Final validation {metric.words} of every finished search trial over κ and γ, whatever its other "
            "settings; the shade between them is their kernel-weighted mean. Small crosses were pruned or diverged, "
            "stars won.",
            panels=panels,
        )
    ]


def _with_both(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    return [trial for trial in trials if set(PAIR) <= set(trial.spec.settings)]


def _panel(plan: Plan, row: Row) -> Panel:
    metric, dimensions = plan.space.metric, searched(plan, row.method)
    finished = _with_both(finished_trials(row, metric))
    lost = _with_both([trial for trial in row.search if trial.status in (PRUNED, DIVERGED)])[:MAX_SHOWN]
    won = _with_both([winner.trial for winner in row.winners])
    values = [trial.final(metric.name) for trial in finished]
    shade = Shade.over(values, log=metric.is_loss, lower_is_better=metric.mode == "min")

    def points(trials: Sequence[TrialRecord], style: Style, **looks: Any) -> Series:
        at = [[position(dimensions[name], trial.spec.settings[name]) for name in PAIR] for trial in trials]
        return Series(
            name=row.method,
            style=style,
            x=[x for x, _ in at],
            y=[y for _, y in at],
            line=False,
            marked=True,
            notes=[note_with_value(plan, trial, won=trial in won) for trial in trials],
            **looks,
        )

    shown = [
        points(lost, LOST, size=4, alpha=0.7),
        points(finished, FINISHED, size=6.5, values=values),
        points(won, WON, size=11, hollow=True),
    ]
    kappa, gamma = (_axis(label, dimensions[name]) for label, name in zip("κγ", PAIR, strict=True))
    return Panel(
        title=row.method,
        x=kappa,
        y=gamma,
        series=[series for series in shown if len(series.x)],
        shade=shade,
        field=_field(shown[1], shade) if len(finished) >= MIN_SHADED else None,
    )


def _field(points: Series, shade: Shade) -> Field:
    """The kernel-weighted mean of the points; of their logarithms where the colours are logarithmic."""
    along = np.linspace(0, 1, GRID)
    x, y = along[None, :, None], along[:, None, None]
    distances = (x - np.asarray(points.x)) ** 2 + (y - np.asarray(points.y)) ** 2
    weights = np.exp(-distances / (2 * BANDWIDTH**2)) + 1e-12
    values = np.asarray(points.values, dtype=float)
    mean = (weights * (np.log(values) if shade.log else values)).sum(-1) / weights.sum(-1)
    return Field(values=np.exp(mean) if shade.log else mean, opacity=0.6 * (1 - np.exp(-weights.sum(-1))))


def _axis(label: str, dimension: Searched) -> Axis:
    """The whole range, with ticks at a few of its values."""
    from matplotlib.ticker import MaxNLocator  # slow to load

    if isinstance(dimension, Choice):
        values = list(dimension.values)
    elif dimension.log:
        steps = [s * 10.0**e for e in range(-6, 7) for s in (1, 2, 5)]
        values = [v for v in steps if dimension.low <= v <= dimension.high]
        values = values[:: 1 + len(values) // 7]
    else:
        round_ones = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(dimension.low, dimension.high)
        values = [float(v) for v in round_ones if dimension.low <= v <= dimension.high]
    names = [f"{v:g}" if isinstance(v, int | float) else str(v) for v in values]
    ticks = [(position(dimension, v), name) for v, name in zip(values, names, strict=True)]
    return Axis(label=label, low=-ROOM, high=1 + ROOM, ticks=ticks)
