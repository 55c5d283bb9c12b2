"""The figure of every search trial along its run: where trials were pruned, and how the winners went."""

from collections.abc import Mapping, Sequence

import numpy as np

from ire.sweeps.findings.results import Results
from ire.sweeps.findings.rows import Row
from ire.sweeps.plan.plan import Plan
from ire.sweeps.records.records import PRUNED, TrialRecord
from ire.sweeps.report.drawing.palette import Style
from ire.sweeps.report.drawing.panel import Axis, Panel, Series
from ire.sweeps.report.drawing.picture import Picture
from ire.sweeps.report.pictures.runs import NATS
from ire.sweeps.report.pictures.searched import MAX_SHOWN, trial_note
from ire.trial.metric import Metric
from ire.trial.report import Report, value

POINTS = 30_000
"""Maximum number of points of all trials together, so that the page stays small."""
FEWEST = 8
"""Minimum number of points of a trial, however many trials there are."""


def trial_pictures(results: Results, styles: Mapping[str, Style]) -> list[Picture]:
    """One figure with a panel per method; none before the first report."""
    metric = results.comparison.metric
    shown = {row.method: _shown(row, metric) for row in results.comparison.rows}
    trials = [trial for found in shown.values() for trial in found]
    if not trials:
        return []
    most = max(FEWEST, POINTS // len(trials))
    losses = [value(report, metric.name) for trial in trials for report in _reports(trial, metric, most)]
    log = metric.is_loss and min(losses) > 0
    y = Axis(
        label=f"validation {metric.words}{NATS if metric.is_loss else ''}",
        log=log,
        low=min(losses) * 0.95 if log else None,
        high=float(np.quantile(losses, 0.9)) * 1.05 if log else None,
    )
    panels = [
        _panel(results.plan, row, shown[row.method], styles[row.method], y, most)
        for row in results.comparison.rows
        if shown[row.method]
    ]
    return [
        Picture(
            name="trials",
            title="Every search trial",
            caption=f"Validation {metric.words} along the run, one line per trial; dashed: pruned, thick: won.",
            panels=panels,
            height=2.9,
        )
    ]


def _shown(row: Row, metric: Metric) -> list[TrialRecord]:
    """The trials with a value; at most the best `MAX_SHOWN` and the winners."""
    known = [t for t in row.search if any(r.get(metric.name) is not None for r in t.reports)]
    if len(known) <= MAX_SHOWN:
        return known

    def rank(trial: TrialRecord) -> tuple[int, bool, float]:
        end = trial.reports[-1].get(metric.name)
        return -trial.step, end is None, 0.0 if end is None else metric.cost(end)

    best = sorted(known, key=rank)[:MAX_SHOWN]
    return [*best, *(winner.trial for winner in row.winners if winner.trial not in best)]


def _reports(trial: TrialRecord, metric: Metric, most: int) -> list[Report]:
    """About `most` of the reports with a value, evenly spaced, the last one among them."""
    known = [report for report in trial.reports if report.get(metric.name) is not None]
    return known[:: -(-len(known) // most)] + (
        [known[-1]] if (len(known) - 1) % -(-len(known) // most) else []
    )


def _panel(plan: Plan, row: Row, trials: Sequence[TrialRecord], style: Style, y: Axis, most: int) -> Panel:
    won, metric = [winner.trial for winner in row.winners], plan.space.metric
    series: list[Series] = []
    for trial in sorted(trials, key=lambda trial: trial in won):
        reports = _reports(trial, metric, most)
        series.append(
            Series(
                name=row.method,
                style=Style(style.colour, (0, (4, 2)) if trial.status == PRUNED else "-", style.marker),
                x=[report["step"] for report in reports],
                y=[value(report, metric.name) for report in reports],
                width=2.4 if trial in won else 1.0,
                alpha=1.0 if trial in won else 0.45,
                note=f"{trial_note(plan, trial)}\n{'won' if trial in won else trial.status}",
            )
        )
    return Panel(title=row.method, x=Axis(label="optimizer steps", low=0.0), y=y, series=series)
