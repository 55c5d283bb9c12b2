"""Figures of what was measured: loss curves on three clocks, the baseline curve, flatness."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ire.sweeps.findings.comparison import Comparison, Measured, Row
from ire.sweeps.findings.results import Results
from ire.sweeps.findings.statistics.draws import interval, paired_draws
from ire.sweeps.findings.statistics.horizon import decreasing, joined
from ire.sweeps.findings.yardstick import TEST
from ire.sweeps.records.records import TrialRecord
from ire.sweeps.report.palette import CONTROL_COLOUR, Style
from ire.sweeps.report.pictures import Picture
from ire.sweeps.search.stages import PUBLISHED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CLOCK_LABELS = {
    "step": "optimizer steps",
    "gradient_evaluations": "gradient evaluations",
    "wall": "training time (s)",
}


FLATNESS_LABELS = {
    "fisher_trace": "Tr F",
    "hessian_trace": "Tr H",
    "largest_eigenvalue": "largest eigenvalue of H",
}


def run_pictures(results: Results, styles: Mapping[str, Style]) -> list[Picture]:
    """The figures for which there is something to show."""
    comparison = results.comparison
    rows = [row for row in comparison.rows if row.runs]
    if not rows:
        return []
    shown = {row.method: styles[row.method] for row in rows}
    pictures = [
        Picture(
            name="loss-curves",
            title="Validation loss",
            caption="Mean over the confirm seeds, the band from the lowest to the highest seed, on three clocks. The "
            "dotted line is where the best baseline ends.",
            panels=[partial(_curves, comparison, rows, styles, clock) for clock in CLOCK_LABELS],
            styles=shown,
        )
    ]
    if comparison.has_curve:
        pictures.append(
            Picture(
                name="baseline-curve",
                title="What a longer or shorter run of a baseline is worth",
                caption=f"Final {comparison.judged_on} loss of the baselines, each point with a complete schedule of "
                "its own, and the monotone curve that speed-ups are read from. Each method stands at its horizon: the "
                "speed-up in steps is how far away the curve is at its height, to the right if it is faster. Bars are "
                "95 % intervals of the mean.",
                panels=[partial(_baseline_curve, comparison, rows, styles)],
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
                caption="Mean over the confirm seeds, the band from the lowest to the highest seed; at every point on "
                "the same training batches.",
                panels=[
                    partial(_flatness_along, along, styles, name, label)
                    for name, label in FLATNESS_LABELS.items()
                ],
                styles={row.method: styles[row.method] for row in along},
            )
        )
    if flat:
        pictures.append(
            Picture(
                name="flatness",
                title="Flatness and test loss",
                caption="One marker a confirmed run; grey crosses are the controls. Tr F by sampled labels, Tr H by "
                "Hutchinson's estimator, λ the largest eigenvalue of H, all on the same training batches.",
                panels=[
                    partial(_flatness, flat, styles, name, label) for name, label in FLATNESS_LABELS.items()
                ],
                styles={row.method: styles[row.method] for row in flat},
            )
        )
    return pictures


def _times(runs: Sequence[TrialRecord], clock: str) -> np.ndarray:
    """When the reports of a method's runs were made; on the wall clock at the mean pace of all of them."""
    if clock != "wall":
        return np.array([report[clock] for report in runs[0].reports], dtype=float)
    return np.mean([[report["seconds"] for report in run.reports] for run in runs], axis=0)


def _curves(
    comparison: Comparison, rows: Sequence[Row], styles: Mapping[str, Style], clock: str, axes: "Axes"
) -> None:
    lowest, top = np.inf, 0.0
    for row in rows:
        losses = np.array([[report["val_loss"] for report in run.reports] for run in row.runs])
        times, style = _times(row.runs, clock), styles[row.method]
        axes.plot(times, losses.mean(axis=0), color=style.colour, linestyle=style.line, lw=1.7)
        axes.fill_between(times, losses.min(axis=0), losses.max(axis=0), color=style.colour, alpha=0.1, lw=0)
        lowest = min(lowest, losses.min())
        # what happens in the first tenth would press everything else together
        top = max(top, float(losses.mean(axis=0)[len(times) // 10]))
    baseline = comparison.row(comparison.baseline).metric("val_loss") if comparison.baseline else None
    if baseline:
        axes.axhline(baseline[0], color="#555555", lw=1, ls=":")
    axes.set_yscale("log")
    axes.set_ylim(lowest * 0.93, top * 1.1)
    plain_log_ticks(axes.yaxis, lowest * 0.93, top * 1.1)
    axes.set_xlim(left=0)
    axes.set_xlabel(CLOCK_LABELS[clock])
    axes.set_ylabel("validation loss (nats)")


def _baseline_curve(
    comparison: Comparison, rows: Sequence[Row], styles: Mapping[str, Style], axes: "Axes"
) -> None:
    draws, loss = np.random.default_rng(0), f"{'test' if comparison.judged_on == TEST else 'val'}_loss"
    factors = np.array(sorted({point.factor for point in comparison.curve}))
    for baseline in dict.fromkeys(point.baseline for point in comparison.curve):
        style, points = styles[baseline], comparison.curve_of(baseline)
        at = np.array(list(points))
        for factor, runs in points.items():
            low, high = _mean_interval(runs, loss, draws)
            axes.plot([factor] * 2, [low, high], color=style.colour, lw=1.4, solid_capstyle="butt")
        losses = np.array([np.mean([run.final(loss) for run in runs]) for runs in points.values()])
        axes.plot(at, losses, color=style.colour, marker=style.marker, ls="", ms=6)
        if len(at) > 1:
            log, curve = joined(np.log(at), decreasing(losses[None]))
            axes.plot(np.exp(log), curve[0], color=style.colour, lw=1.7, ls="-")
    with_curve = {point.baseline for point in comparison.curve}
    others = [row for row in rows if row.method not in with_curve and row.metric(loss)]
    spread = np.linspace(-0.09, 0.09, len(others)) if len(others) > 1 else [0.0]
    for row, shift in zip(others, spread, strict=True):
        at, style = float(np.exp(shift)), styles[row.method]
        low, high = _mean_interval(row.runs, loss, draws)
        value = row.metric(loss)[0]
        axes.plot([at] * 2, [low, high], color=style.colour, lw=1.4, solid_capstyle="butt")
        axes.plot([at], [value], color=style.colour, marker=style.marker, ms=7, ls="", mec="white", mew=0.6)
        if "step" in row.speed_ups:
            reached = row.speed_ups["step"].ratio.value
            axes.plot([at, reached], [value] * 2, color=style.colour, lw=0.9, ls=":")
    axes.set_xscale("log")
    axes.set_xticks(factors, [f"{factor:.2g}×" for factor in factors])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("horizon, in multiples of the task's")
    axes.set_ylabel(f"final {comparison.judged_on} loss (nats)")


def _mean_interval(runs: Sequence[TrialRecord], loss: str, draws: np.random.Generator) -> tuple[float, float]:
    values = np.array([[run.final(loss)] for run in runs])
    if len(values) < 2:
        return float(values[0, 0]), float(values[0, 0])
    return interval(paired_draws(values, draws)[:, 0])


def _flatness(rows: Sequence[Row], styles: Mapping[str, Style], name: str, label: str, axes: "Axes") -> None:
    def points(measured: Measured) -> tuple[list[float], list[float]]:
        ends = [run.reports[-1] for run in measured.runs]
        pairs = [(end[name], end["test_loss"]) for end in ends if end.get(name) is not None]
        return [x for x, _ in pairs], [y for _, y in pairs]

    smallest = np.inf
    for row in rows:
        for control in row.controls:
            if control.name == PUBLISHED:
                continue
            xs, ys = points(control)
            axes.plot(xs, ys, ls="", marker="x", ms=3.5, color=CONTROL_COLOUR, alpha=0.45)
            smallest = min([smallest, *xs])
    for row in rows:
        xs, ys = points(row)
        style = styles[row.method]
        axes.plot(xs, ys, ls="", marker=style.marker, ms=6, color=style.colour, mec="white", mew=0.5)
        smallest = min([smallest, *xs])
    if smallest > 0:
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        plain_log_ticks(axes.xaxis, low, high)
    axes.set_xlabel(label)
    axes.set_ylabel("test loss (nats)")


def _flatness_along(
    rows: Sequence[Row], styles: Mapping[str, Style], name: str, label: str, axes: "Axes"
) -> None:
    smallest = np.inf
    for row in rows:
        curves = [
            {report["step"]: report[name] for report in run.reports if report.get(name) is not None}
            for run in row.runs
        ]
        steps = sorted(set.intersection(*map(set, curves)))
        if not steps:
            continue
        values = np.array([[curve[step] for step in steps] for curve in curves])
        style = styles[row.method]
        axes.plot(
            steps, values.mean(axis=0), color=style.colour, ls=style.line, marker=style.marker, ms=4, lw=1.5
        )
        axes.fill_between(steps, values.min(axis=0), values.max(axis=0), color=style.colour, alpha=0.1, lw=0)
        smallest = min(smallest, values.min())
    if 0 < smallest < np.inf:
        axes.set_yscale("log")
        plain_log_ticks(axes.yaxis, *axes.get_ylim())
    axes.set_xlim(left=0)
    axes.set_xlabel(CLOCK_LABELS["step"])
    axes.set_ylabel(label)


def plain_log_ticks(axis, low: float, high: float) -> None:
    """A few round numbers, written as such, in place of powers of ten that may not even be in view."""
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, NullLocator

    steps = (1, 2, 5) if high / low < 300 else (1,)
    if high / low < 12:
        steps = (1, 1.5, 2, 3, 4, 5, 7)
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    if high / low < 3:  # hardly a logarithm
        ticks = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    ticks = [tick for tick in ticks if low <= tick <= high]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
