"""Figures of what was measured: loss curves on three clocks, the baseline curve, flatness."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ire.sweeps.findings.comparison import Comparison
from ire.sweeps.findings.results import Results
from ire.sweeps.findings.rows import Measured, Row
from ire.sweeps.findings.statistics.draws import interval, paired_draws
from ire.sweeps.findings.statistics.horizon import decreasing, joined
from ire.sweeps.records.records import TrialRecord
from ire.sweeps.report.drawing.palette import CONTROL_COLOUR, Style
from ire.sweeps.report.drawing.panel import ALONG_Y, Axis, Panel, Series
from ire.sweeps.report.drawing.picture import Picture
from ire.sweeps.search.stages import PUBLISHED
from ire.trial.report import value

CLOCK_LABELS = {
    "step": "optimizer steps",
    "gradient_evaluations": "gradient evaluations",
    "wall": "training time (s)",
}

OVER_SEEDS = "Mean over the confirm seeds, the band from the lowest to the highest seed"
NATS = " (nats)"
FLATNESS_LABELS = {
    "fisher_trace": "Tr F",
    "hessian_trace": "Tr H",
    "largest_eigenvalue": "largest eigenvalue of H",
}


def run_pictures(results: Results, styles: Mapping[str, Style]) -> list[Picture]:
    """The figures that have data."""
    comparison = results.comparison
    rows = [row for row in comparison.rows if row.runs]
    if not rows:
        return []
    shown = {row.method: styles[row.method] for row in rows}
    pictures = [
        Picture(
            name="loss-curves",
            title=f"Validation {comparison.metric.words}",
            caption=f"{OVER_SEEDS}, on three clocks. The dotted line is the final value of the best baseline.",
            panels=[_curves(comparison, rows, styles, clock) for clock in CLOCK_LABELS],
            styles=shown,
        )
    ]
    if comparison.has_curve:
        pictures.append(
            Picture(
                name="baseline-curve",
                title="What a longer or shorter run of a baseline is worth",
                caption=f"Final {comparison.judged_on} {comparison.metric.words} of the baselines, each point with "
                "a complete schedule of its own, and the monotone curve that speed-ups are read from. Each method "
                "is drawn at its horizon: its speed-up in steps is the horizontal distance to the curve, which lies to "
                "the right if the method is faster. Bars are 95 % intervals of the mean.",
                panels=[_baseline_curve(comparison, rows, styles)],
                styles=shown,
                width=5.8,
                height=3.7,
            )
        )
    flat = [row for row in rows if row.metric("fisher_trace")]
    along = [row for row in flat if any("fisher_trace" in report for report in row.runs[0].reports[:-1])]
    if along:
        pictures.append(
            Picture(
                name="flatness-along",
                title="Flatness along the run",
                caption=f"{OVER_SEEDS}; every point uses the same training batches.",
                panels=[
                    _flatness_along(along, styles, name, label) for name, label in FLATNESS_LABELS.items()
                ],
                styles={row.method: styles[row.method] for row in along},
            )
        )
    if flat:
        pictures.append(
            Picture(
                name="flatness",
                title="Flatness and test loss",
                caption="One marker per confirm run; grey crosses are the controls. Tr F by sampled labels, Tr H by "
                "Hutchinson's estimator, λ the largest eigenvalue of H, all on the same training batches.",
                panels=[_flatness(flat, styles, name, label) for name, label in FLATNESS_LABELS.items()],
                styles={row.method: styles[row.method] for row in flat},
            )
        )
    return pictures


def _times(runs: Sequence[TrialRecord], clock: str) -> np.ndarray:
    """When the reports of a method's runs were made; on wall-clock, at the mean pace of all its runs."""
    if clock != "wall":
        return np.array([report[clock] for report in runs[0].reports], dtype=float)
    return np.mean([[report["seconds"] for report in run.reports] for run in runs], axis=0)


def _curves(comparison: Comparison, rows: Sequence[Row], styles: Mapping[str, Style], clock: str) -> Panel:
    metric, lowest, top = comparison.metric, np.inf, 0.0
    series: list[Series] = []
    for row in rows:
        losses = np.array([[value(report, metric.name) for report in run.reports] for run in row.runs])
        mean = losses.mean(axis=0)
        series.append(
            Series(
                name=row.method,
                style=styles[row.method],
                x=_times(row.runs, clock),
                y=mean,
                low=losses.min(axis=0),
                high=losses.max(axis=0),
                note=f"mean of {len(row.runs)} confirm runs",
            )
        )
        lowest = min(lowest, losses.min())
        # the first tenth of a run would compress the rest of the axis
        top = max(top, float(mean[len(mean) // 10]))
    baseline = comparison.row(comparison.baseline).metric(metric.name) if comparison.baseline else None
    y = Axis(label=f"validation {metric.words}")
    if metric.is_loss:
        y = Axis(label=f"validation loss{NATS}")
        if 0 < lowest < top:
            y = replace(y, log=True, low=lowest * 0.93, high=top * 1.1)
    return Panel(
        x=Axis(label=CLOCK_LABELS[clock], low=0.0),
        y=y,
        series=series,
        level=baseline[0] if baseline else None,
    )


def _baseline_curve(comparison: Comparison, rows: Sequence[Row], styles: Mapping[str, Style]) -> Panel:
    draws, metric, loss = np.random.default_rng(0), comparison.metric, comparison.judged
    series: list[Series] = []
    for baseline in dict.fromkeys(point.baseline for point in comparison.curve):
        style, points = styles[baseline], comparison.curve_of(baseline)
        at = np.array(list(points))
        ends = np.array([_mean_interval(runs, loss, draws) for runs in points.values()])
        losses = np.array([np.mean([run.final(loss) for run in runs]) for runs in points.values()])
        if len(at) > 1:
            log, curve = joined(np.log(at), decreasing(metric.cost(losses)[None]))
            series.append(
                Series(name=baseline, style=style, x=np.exp(log), y=metric.cost(curve[0]), solid=True)
            )
        if len(at):
            series.append(
                Series(
                    name=baseline,
                    style=style,
                    x=at,
                    y=losses,
                    low=ends[:, 0],
                    high=ends[:, 1],
                    interval=ALONG_Y,
                    line=False,
                    marked=True,
                    size=6,
                    notes=[f"mean of {len(runs)} runs of {factor:g} T" for factor, runs in points.items()],
                )
            )
    with_curve = {point.baseline for point in comparison.curve}
    others = [
        (row, reached[0]) for row in rows if row.method not in with_curve and (reached := row.metric(loss))
    ]
    spread = np.linspace(-0.09, 0.09, len(others)) if len(others) > 1 else [0.0] * len(others)
    for (row, final), shift in zip(others, spread, strict=True):
        at, style = float(np.exp(shift)), styles[row.method]
        low, high = _mean_interval(row.runs, loss, draws)
        if "step" in row.speed_ups:
            ends = [at, row.speed_ups["step"].ratio.value]
            series.append(
                Series(name=row.method, style=replace(style, line=":"), x=ends, y=[final] * 2, width=0.9)
            )
        series.append(
            Series(
                name=row.method,
                style=style,
                x=[at],
                y=[final],
                low=[low],
                high=[high],
                interval=ALONG_Y,
                line=False,
                marked=True,
                size=7,
                notes=[f"speed-up in steps {row.speed_ups['step']}" if "step" in row.speed_ups else ""],
            )
        )
    factors = sorted({point.factor for point in comparison.curve})
    return Panel(
        x=Axis(
            label="horizon, in multiples of the task's",
            log=True,
            ticks=[(factor, f"{factor:.2g}×") for factor in factors],
        ),
        y=Axis(label=f"final {comparison.judged_on} {metric.words}{NATS if metric.is_loss else ''}"),
        series=series,
    )


def _mean_interval(runs: Sequence[TrialRecord], loss: str, draws: np.random.Generator) -> tuple[float, float]:
    values = np.array([[run.final(loss)] for run in runs])
    if len(values) < 2:
        return float(values[0, 0]), float(values[0, 0])
    return interval(paired_draws(values, draws)[:, 0])


def _flatness(rows: Sequence[Row], styles: Mapping[str, Style], name: str, label: str) -> Panel:
    def points(measured: Measured, style: Style, words: str, **looks: Any) -> Series:
        runs = [run for run in measured.runs if run.reports[-1].get(name) is not None]
        return Series(
            name=words,
            style=style,
            x=[run.final(name) for run in runs],
            y=[run.final("test_loss") for run in runs],
            line=False,
            marked=True,
            notes=[run.name for run in runs],
            **looks,
        )

    control = Style(CONTROL_COLOUR, "-", "x")
    series = [
        points(found, control, f"{row.method}: {found.name}", size=3.5, alpha=0.45)
        for row in rows
        for found in row.controls
        if found.name != PUBLISHED
    ]
    series += [points(row, styles[row.method], row.method, size=6) for row in rows]
    smallest = min((x for each in series for x in each.x), default=0.0)
    return Panel(x=Axis(label=label, log=bool(smallest > 0)), y=Axis(label="test loss (nats)"), series=series)


def _flatness_along(rows: Sequence[Row], styles: Mapping[str, Style], name: str, label: str) -> Panel:
    smallest = np.inf
    series: list[Series] = []
    for row in rows:
        curves = [
            {report["step"]: found for report in run.reports if (found := value(report, name)) is not None}
            for run in row.runs
        ]
        steps = sorted(set[int].intersection(*map(set, curves)))
        if not steps:
            continue
        values = np.array([[curve[step] for step in steps] for curve in curves])
        series.append(
            Series(
                name=row.method,
                style=styles[row.method],
                x=steps,
                y=values.mean(axis=0),
                low=values.min(axis=0),
                high=values.max(axis=0),
                marked=True,
                width=1.5,
            )
        )
        smallest = min(smallest, values.min())
    return Panel(
        x=Axis(label=CLOCK_LABELS["step"], low=0.0),
        y=Axis(label=label, log=bool(0 < smallest < np.inf)),
        series=series,
    )
