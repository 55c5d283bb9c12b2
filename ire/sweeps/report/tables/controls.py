"""The tables that look for the cause of a gain: controls and flatness."""

from ire.sweeps.findings.results import Results
from ire.sweeps.findings.rows import Control, Measured, Row
from ire.sweeps.findings.statistics.speedup import CLOCKS
from ire.sweeps.report.tables.table import Table, plus_minus, speed_up
from ire.sweeps.search.stages import CONTROL_WORDS, KAPPA_0, PUBLISHED
from ire.trial.metric import Metric
from ire.trial.report import MEASURES

FLATNESS_HEADS = {
    "fisher_trace": "Tr F",
    "hessian_trace": "Tr H",
    "largest_eigenvalue": "largest eigenvalue of H",
}


def controls(results: Results) -> Table:
    """What remains of a method when one of its parts is removed."""
    comparison = results.comparison
    metric = comparison.metric
    heads = [
        *("method", "control", f"val {metric.words}", f"test {metric.words}"),
        *(f"speed-up: {CLOCKS['step']}", CLOCKS["gradient_evaluations"]),
        *(
            f"method's {metric.words} minus control's",
            f"method {metric.better}?",
            "without curvature",
            "runs",
            "what it is",
        ),
    ]
    lines = [
        [
            row.method,
            control.name,
            plus_minus(control.metric(metric.name)),
            plus_minus(control.metric(metric.on_test)),
            speed_up(control, "step"),
            speed_up(control, "gradient_evaluations"),
            str(control.against_method or "-"),
            _is_better(control, metric),
            _without_curvature(row, control),
            f"{len(control.runs)}/{results.plan.confirm_seeds * results.plan.studies}",
            CONTROL_WORDS[control.name],
        ]
        for row in comparison.rows
        for control in row.controls
    ]
    return Table(title="Controls: is it the curvature?", heads=heads, lines=lines)


def _without_curvature(row: Row, control: Control) -> str:
    """The final value that a model of the step size alone predicts, where that model fits."""
    model = row.null_model
    return (
        f"{model.predicted[control.name]:.4f}"
        if model and model.fits and control.name in model.predicted
        else "-"
    )


def _is_better(control: Control, metric: Metric) -> str:
    """Whether the method ends better than its control: `yes`, `no` or `not shown`."""
    difference = control.against_method
    if difference is None:
        return "not shown"
    return (
        "yes" if difference.shows_better else f"no, {metric.worse}" if difference.shows_worse else "not shown"
    )


def flatness(results: Results) -> Table:
    """How flat each method's solutions are."""
    lines = [
        [name, *(plus_minus(found.metric(key), digits=4, fixed=False) for key in MEASURES)]
        for name, found in with_controls(results)
        if found.metric(MEASURES[0])
    ]
    return Table(title="Flatness", heads=["method", *FLATNESS_HEADS.values()], lines=lines)


def with_controls(results: Results) -> list[tuple[str, Measured]]:
    """Each method and its controls, except those that differ from it in settings alone."""
    measured: list[tuple[str, Measured]] = []
    for row in results.comparison.rows:
        measured.append((row.method, row))
        measured += [
            (f"{row.method}: {c.name}", c) for c in row.controls if c.name not in (KAPPA_0, PUBLISHED)
        ]
    return measured
