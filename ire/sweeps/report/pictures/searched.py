"""What the figures of a search share: which trials and dimensions they draw, and the text of a trial."""

from collections.abc import Iterable

import numpy as np

from ire.sweeps.findings.rows import Row
from ire.sweeps.plan.plan import Plan
from ire.sweeps.plan.searched_settings import short_settings
from ire.sweeps.records.records import FINISHED, TrialRecord
from ire.sweeps.report.drawing.panel import Axis
from ire.sweeps.report.pictures.runs import NATS
from ire.trial.metric import Metric
from search_spaces import Choice, Fixed, Interval

MAX_SHOWN = 300
"""Maximum number of trials that a figure draws of one method: more are slow and cannot be told apart."""

Searched = Interval | Choice
"""A dimension that is searched."""


def finished_trials(row: Row, metric: Metric) -> list[TrialRecord]:
    """The finished search trials, best first; at most the best `MAX_SHOWN` and the winners."""
    finished = sorted(
        (t for t in row.search if t.status == FINISHED), key=lambda t: metric.cost(t.final(metric.name))
    )
    shown = finished[:MAX_SHOWN]
    return [*shown, *(winner.trial for winner in row.winners if winner.trial not in shown)]


def searched(plan: Plan, method: str) -> dict[str, Searched]:
    """The dimensions of a method that are not fixed."""
    dimensions = plan.space.dimensions(plan.method(method))
    return {name: d for name, d in dimensions.items() if not isinstance(d, Fixed)}


def position(dimension: Searched, value: float) -> float:
    """The position of a value in its range, 0 to 1, on the scale that is searched."""
    if isinstance(dimension, Choice):
        return dimension.values.index(value) / max(1, len(dimension.values) - 1)
    low, high = dimension.low, dimension.high
    if dimension.log:
        low, high, value = np.log(low), np.log(high), np.log(value)
    return float((value - low) / (high - low))


def trial_note(plan: Plan, trial: TrialRecord) -> str:
    """A trial's name and its searched settings, in two lines."""
    return f"{trial.name}\n{short_settings(plan, trial.method, trial.spec.settings)}"


def note_with_value(plan: Plan, trial: TrialRecord, *, won: bool = False) -> str:
    """`trial_note` with a third line: how the trial ended and its last value."""
    metric = plan.space.metric
    known = [report for report in trial.reports if report.get(metric.name) is not None]
    value = f", {metric.words} {known[-1][metric.name]:.4g} at step {known[-1]['step']}" if known else ""
    return f"{trial_note(plan, trial)}\n{'won' if won else trial.status}{value}"


def value_axis(metric: Metric, label: str, values: Iterable[float]) -> Axis:
    """A logarithmic axis in nats if the values are positive losses, else a linear one."""
    if not metric.is_loss:
        return Axis(label=label)
    return Axis(label=f"{label}{NATS}", log=bool(min(values, default=1.0) > 0))
