"""The figure of what tuning gained: the best value so far along each search, and the expected best of n trials."""

from collections.abc import Mapping, Sequence

import numpy as np

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
from ire.sweeps.report.drawing.palette import Style
from ire.sweeps.report.drawing.panel import Axis, Panel, Series
from ire.sweeps.report.drawing.picture import Picture
from ire.sweeps.report.pictures.searched import finished_trials, value_axis
from ire.trial.metric import Metric
from ire.trial.seeds import derive_seed


def tuning_pictures(results: Results, styles: Mapping[str, Style]) -> list[Picture]:
    """One figure of two panels; none before a search trial has finished."""
    plan, metric = results.widest_plan, results.comparison.metric
    rows = [row for row in results.comparison.rows if finished_trials(row, metric)]
    if not rows:
        return []
    return [
        Picture(
            name="tuning",
            title="What tuning bought",
            caption="Left: the best finished trial so far, one line per study. Right: the expected validation "
            f"{metric.words} of the best of n trials drawn from those that ran, with its 95 % interval; "
            "n = 1 is a guess, the right end is what the search found. A pruned trial counts with its last "
            f"{metric.words}, a lost one with the worst.",
            panels=[_best_so_far(metric, rows, styles), _expected_best(plan, rows, styles)],
            styles={row.method: styles[row.method] for row in rows},
            width=5.0,
        )
    ]


def _best_so_far(metric: Metric, rows: Sequence[Row], styles: Mapping[str, Style]) -> Panel:
    series: list[Series] = []
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
        y=value_axis(
            metric, f"best validation {metric.words} so far", [value for each in series for value in each.y]
        ),
        series=series,
    )


def _expected_best(plan: Plan, rows: Sequence[Row], styles: Mapping[str, Style]) -> Panel:
    metric = plan.space.metric
    series: list[Series] = []
    for row in rows:
        costs = trial_costs(row.search, metric)
        draws = np.random.default_rng(derive_seed(plan.seed, "expected best", row.method))
        n, of = counts(len(costs)), (expected_best(costs), *expected_best_interval(costs, draws))
        best, *ends = (metric.cost(values) for values in of)
        low, high = sorted(ends, key=lambda end: end[0])
        series.append(Series(name=row.method, style=styles[row.method], x=n, y=best, low=low, high=high))
    lowest = [value for each in series for value in each.low]
    return Panel(x=Axis(label="trials n"), y=value_axis(metric, "expected best of n", lowest), series=series)
