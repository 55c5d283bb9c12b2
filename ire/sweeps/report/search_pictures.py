"""Figures of the search: what tuning bought, where the good settings lie, and which of them mattered."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ire.methods.foreign import shortened
from ire.sweeps.findings.results import Results
from ire.sweeps.findings.rows import Row
from ire.sweeps.findings.statistics.tuning_gain import (
    best_so_far,
    counts,
    expected_best,
    expected_best_interval,
    trial_costs,
)
from ire.sweeps.plan.plan import Plan
from ire.sweeps.plan.searched_settings import short_settings
from ire.sweeps.records.records import DIVERGED, FINISHED, PRUNED, TrialRecord
from ire.sweeps.report.palette import Style
from ire.sweeps.report.panel import Axis, Panel, Series
from ire.sweeps.report.pictures import Picture
from ire.sweeps.report.run_pictures import NATS
from ire.trial.metric import Metric
from ire.trial.seeds import derive_seed
from search_spaces import Choice, Dimension, Fixed, Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WORSE = "#9A9A9A"
MAX_SHOWN = 300
"""Trials of one method that a figure draws: more cannot be told apart, and take long."""
MIN_SHADED = 6
"""Finished trials from which on the space between them is shaded."""
BANDWIDTH = 0.13
"""Of the shade, in shares of a range; where no trial is near it fades out."""


def search_pictures(results: Results, styles: Mapping[str, Style]) -> list[Picture]:
    """The figures for which there is something to show."""
    plan, metric = results.widest_plan, results.comparison.metric
    rows = [row for row in results.comparison.rows if _finished(row, metric)]
    if not rows:
        return []
    value = f"validation {metric.words}"
    shown = {row.method: styles[row.method] for row in rows}
    pictures = [
        Picture(
            name="tuning",
            title="What tuning bought",
            caption=f"Left: the best finished trial so far, a line a study. Right: the {value} to be "
            "expected of the best of n trials drawn from those that ran, with its 95 % interval; n = 1 is a guess, "
            f"the right end what was found. A pruned trial counts with its last {metric.words}, a lost one with "
            "the worst.",
            panels=[
                _best_so_far(metric, rows, styles),
                _expected_best(plan, rows, styles),
            ],
            styles=shown,
            width=5.0,
        )
    ]
    boosted = [row for row in rows if {"kappa", "gamma"} <= set(_searched(plan, row.method))]
    if boosted:
        pictures.append(
            Picture(
                name="kappa-gamma",
                title="κ and γ",
                caption=f"Final {value} of every finished search trial over κ and γ, whatever its other "
                "settings; the shade between them is their kernel-weighted mean. Small crosses were pruned, stars "
                "won.",
                panels=[partial(_kappa_gamma, plan, row) for row in boosted],
            )
        )
    known = {name: found for name, found in results.importances.items() if found}
    if known:
        pictures.append(
            Picture(
                name="importance",
                title="Which settings mattered",
                caption="fANOVA: each setting's share in the spread of final losses, completed trials only. Of methods "
                "with fewer than eight completed trials nothing is said.",
                panels=[
                    partial(_importance, name, found, styles[name].colour) for name, found in known.items()
                ],
                height=2.6,
            )
        )
    names = list(dict.fromkeys(name for row in rows for name in _searched(plan, row.method)))
    pictures.append(
        Picture(
            name="slices",
            title="Each setting by itself",
            caption=f"Final {value} of every finished search trial against one setting at a time; the larger "
            "markers with a dark edge are the winners.",
            panels=[_slice(plan, rows, styles, name) for name in names],
            styles=shown,
            height=2.9,
        )
    )
    pictures.append(
        Picture(
            name="parallel",
            title="All settings at once",
            caption="A line for each finished trial, from the bottom to the top of each setting's range; the darker, "
            f"the {metric.better} its final {metric.words}. Thick lines won.",
            panels=[partial(_parallel, plan, row, styles[row.method]) for row in rows],
            height=2.9,
        )
    )
    return pictures


def _finished(row: Row, metric: Metric) -> list[TrialRecord]:
    """The finished search trials, best first; of very many the best ones and the winner."""
    finished = sorted(
        (t for t in row.search if t.status == FINISHED), key=lambda t: metric.cost(t.final(metric.name))
    )
    shown = finished[:MAX_SHOWN]
    return [*shown, *(winner.trial for winner in row.winners if winner.trial not in shown)]


def _searched(plan: Plan, method: str) -> dict[str, Dimension]:
    dimensions = plan.space.dimensions(plan.method(method))
    return {name: d for name, d in dimensions.items() if not isinstance(d, Fixed)}


def _best_so_far(metric: Metric, rows: Sequence[Row], styles: Mapping[str, Style]) -> Panel:
    series = []
    for row in rows:
        for study in sorted({trial.study for trial in row.search}):
            trials = [trial for trial in row.search if trial.study == study]
            at, costs = best_so_far(trials, metric)
            best = [metric.cost(cost) for cost in costs]
            if not at:
                continue
            spent = sum(trial.gradient_evaluations for trial in trials)
            series.append(
                Series(
                    name=row.method,
                    style=styles[row.method],
                    x=[*at, spent],
                    y=[*best, best[-1]],
                    stepped=True,
                    marked=True,
                    width=1.5,
                    note=f"study {study + 1}",
                )
            )
    return Panel(
        x=Axis(label="gradient evaluations spent on the search"),
        y=_axis(metric, f"best validation {metric.words} so far"),
        series=series,
    )


def _expected_best(plan: Plan, rows: Sequence[Row], styles: Mapping[str, Style]) -> Panel:
    metric, series = plan.space.metric, []
    for row in rows:
        costs = trial_costs(row.search, metric)
        draws = np.random.default_rng(derive_seed(plan.seed, "expected best", row.method))
        n, of = counts(len(costs)), (expected_best(costs), *expected_best_interval(costs, draws))
        best, *ends = (metric.cost(values) for values in of)
        low, high = sorted(ends, key=lambda end: end[0])
        series.append(Series(name=row.method, style=styles[row.method], x=n, y=best, low=low, high=high))
    return Panel(x=Axis(label="trials n"), y=_axis(metric, "expected best of n"), series=series)


def _axis(metric: Metric, label: str) -> Axis:
    """A logarithmic axis in nats for losses, a plain one for any other metric."""
    return Axis(label=f"{label}{NATS}", log=True) if metric.is_loss else Axis(label=label)


def _kappa_gamma(plan: Plan, row: Row, axes: "Axes") -> None:
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.ticker import FixedLocator, NullLocator

    metric, dimensions = plan.space.metric, _searched(plan, row.method)
    pair = {"kappa", "gamma"}
    finished = [t for t in _finished(row, metric) if pair <= set(t.spec.settings)]
    at = np.array(
        [[_position(dimensions[k], t.spec.settings[k]) for k in ("kappa", "gamma")] for t in finished]
    )
    values = np.array([t.final(metric.name) for t in finished])
    colours = "cividis_r" if metric.mode == "min" else "cividis"
    norm = (
        LogNorm(values.min(), max(values.max(), values.min() * 1.01))
        if metric.is_loss
        else Normalize(values.min(), max(values.max(), values.min() + 1e-9))
    )
    if len(finished) >= MIN_SHADED:
        grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 80)] * 2), axis=-1)
        distances = ((grid[:, :, None] - at) ** 2).sum(-1)
        weights = np.exp(-distances / (2 * BANDWIDTH**2)) + 1e-12
        shade = np.log(values) if metric.is_loss else values
        field = (weights * shade).sum(-1) / weights.sum(-1)
        field = np.exp(field) if metric.is_loss else field
        known = 0.6 * np.clip(weights.sum(-1), 0, 1)
        axes.imshow(
            field,
            origin="lower",
            extent=(0, 1, 0, 1),
            cmap=colours,
            norm=norm,
            alpha=known,
            aspect="auto",
        )
    pruned = [t for t in row.search if t.status in (PRUNED, DIVERGED) and pair <= set(t.spec.settings)][
        :MAX_SHOWN
    ]
    for t in pruned:
        x, y = (_position(dimensions[k], t.spec.settings[k]) for k in ("kappa", "gamma"))
        axes.plot([x], [y], marker="x", ms=4, color="#444444", ls="", alpha=0.7)
    points = axes.scatter(
        at[:, 0], at[:, 1], c=values, cmap=colours, norm=norm, s=46, edgecolors="black", linewidths=0.6
    )
    for winner in row.winners:
        if winner.trial not in finished:
            continue
        i = finished.index(winner.trial)
        axes.plot(*at[i], marker="*", ms=17, color="white", mec="black", mew=0.9, ls="")
    for axis, name in ((axes.xaxis, "kappa"), (axes.yaxis, "gamma")):
        _range_ticks(axis, dimensions[name])
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.grid(False)
    axes.set_xlabel("κ")
    axes.set_ylabel("γ")
    axes.set_title(shortened(row.method))
    bar = axes.figure.colorbar(points, ax=axes)
    ticks = (np.geomspace if metric.is_loss else np.linspace)(norm.vmin, norm.vmax, 4)
    bar.ax.yaxis.set_major_locator(FixedLocator(ticks))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    bar.outline.set_visible(False)


def _importance(name: str, found: Mapping[str, float], colour: str, axes: "Axes") -> None:
    ordered = sorted(found.items(), key=lambda item: item[1])
    axes.barh([key for key, _ in ordered], [value for _, value in ordered], color=colour, height=0.6)
    axes.set_xlim(0, 1)
    axes.set_title(name)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("importance")


def _slice(plan: Plan, rows: Sequence[Row], styles: Mapping[str, Style], name: str) -> Panel:
    metric, ranges, words, series, winners = plan.space.metric, [], [], [], []
    for row in rows:
        dimension = _searched(plan, row.method).get(name)
        if dimension is None:
            continue
        if isinstance(dimension, Interval):
            ranges.append(dimension)
        elif not all(_is_number(value) for value in dimension.values):
            words += [value for value in dimension.values if value not in words]
        won = [winner.trial for winner in row.winners]
        rest = [trial for trial in _finished(row, metric) if trial not in won]
        looks: dict[str, Any] = {"words": words, "styles": styles, "name": name}
        series.append(_marks(plan, row, rest, size=4.5, alpha=0.75, **looks))
        winners.append(_marks(plan, row, won, size=9, edged=True, **looks))
    return Panel(
        x=_slice_axis(name, ranges, words),
        y=_axis(metric, f"validation {metric.words}"),
        series=[each for each in (*series, *winners) if len(each.x)],
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


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
    """The trials in which a setting takes part; its `words` stand side by side."""
    trials = [trial for trial in trials if name in trial.spec.settings]
    at = [trial.spec.settings[name] for trial in trials]
    return Series(
        name=row.method,
        style=styles[row.method],
        x=[words.index(value) for value in at] if words else at,
        y=[trial.final(plan.space.metric.name) for trial in trials],
        line=False,
        marked=True,
        notes=[told_of(plan, trial) for trial in trials],
        **looks,
    )


def told_of(plan: Plan, trial: TrialRecord) -> str:
    """A trial's name and what was searched of its settings, in two lines."""
    return f"{trial.name}\n{short_settings(plan, trial.method, trial.spec.settings)}"


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


def _parallel(plan: Plan, row: Row, style: Style, axes: "Axes") -> None:
    dimensions = _searched(plan, row.method)
    finished = _finished(row, plan.space.metric)[::-1]
    xs = np.arange(len(dimensions))
    for rank, trial in enumerate(finished):
        settings = trial.spec.settings  # what takes no part leaves a gap
        ys = [_position(d, settings[name]) if name in settings else np.nan for name, d in dimensions.items()]
        share = (rank + 1) / len(finished)
        won = any(trial is winner.trial for winner in row.winners)
        axes.plot(
            xs,
            ys,
            color=style.colour if share > 0.5 or won else WORSE,
            alpha=1.0 if won else 0.25 + 0.5 * share,
            lw=3.0 if won else 1.1,
            zorder=3 if won else 2,
            solid_capstyle="round",
        )
    axes.set_xticks(xs, [_two_lines(name) for name in dimensions], fontsize=8)
    axes.set_yticks([0, 1], ["low", "high"])
    axes.set_ylim(-0.05, 1.05)
    axes.set_xlim(-0.25, len(dimensions) - 0.75)
    axes.grid(axis="y", visible=False)
    axes.set_title(shortened(row.method))


def _two_lines(name: str) -> str:
    return name.replace("_", "\n")


def _position(dimension: Dimension, value: Any) -> float:
    """Where a value lies in its range, 0 to 1, on the scale it is searched on."""
    if isinstance(dimension, Choice):
        return dimension.values.index(value) / max(1, len(dimension.values) - 1)
    low, high = dimension.low, dimension.high
    if dimension.log:
        low, high, value = np.log(low), np.log(high), np.log(value)
    return float((value - low) / (high - low))


def _range_ticks(axis, dimension: Dimension) -> None:
    if isinstance(dimension, Choice):
        values = list(dimension.values)
    elif dimension.log:
        steps = [s * 10.0**e for e in range(-6, 7) for s in (1, 2, 5)]
        values = [v for v in steps if dimension.low <= v <= dimension.high]
        values = values[:: 1 + len(values) // 7]
    else:
        values = [round(v, 2) for v in np.linspace(dimension.low, dimension.high, 5)]
    axis.set_ticks([_position(dimension, v) for v in values], [f"{v:g}" for v in values])
