"""The values that a trial reports at an evaluation: the central datum, from training loop to records and page.

A report is a dictionary because it is a line of `results.jsonl` and a part of every checkpoint, word for word; which
keys it has, and what they mean, stands here. The metrics of the task stand beside these keys, as `val_accuracy` or
`test_perplexity`; `value` reads one by its name. A float that is not finite is None.
"""

from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict

RESULT_KEYS = ("trial", "method", "stage", "seed", "start", "status", "error", "time")
"""What `results.jsonl` says of a trial beside its reports: no report has a value of these names."""

MEASURES = ("fisher_trace", "hessian_trace", "largest_eigenvalue")
"""The measures of flatness."""


class Report(TypedDict):
    """The state of one trial after `step` optimizer steps of its task."""

    step: int
    """Rises from report to report; the last one of a trial that finishes is the horizon."""
    gradient_evaluations: int
    """Gradients of a full batch spent so far: SAM counts two a step, a curvature pass one."""
    seconds: float
    """Training time so far, device-synchronised, without evaluation and checkpoints."""
    train_loss: float | None
    """Mean over the steps since the last report."""
    val_loss: float | None
    diverged: bool
    """Whether the loss is not finite, or has exploded: the report is the trial's last one."""
    steps_per_second: float | None
    """Since the last report; None if no time has passed."""

    # Of trials that train here, and of a training function of one's own as it likes

    lr: NotRequired[float]
    """Of the first parameter group, after the schedule."""
    step_length: NotRequired[float]
    grad_norm: NotRequired[float]
    micro_grad_norm: NotRequired[float]
    """Mean over the micro-batches of a step: what external grafting takes from another trial."""
    penalty: NotRequired[float]
    """The penalty term of the loss, before its weight."""
    warmup_seconds: NotRequired[float]
    """Time that `seconds` leaves out: compiling, and the first steps on a GPU."""
    peak_memory_mib: NotRequired[float]
    """Of the accelerator, since the trial began."""
    gpu_utilization: NotRequired[float]
    """The share of the last moment before the report in which the GPU was busy, with all that runs on it."""
    hardware: NotRequired[str]
    """In the last report of a trial that is measured."""

    optimizer_seconds: NotRequired[float | None]
    """Of a turn of the quiet pass: what one step takes without forward, backward and masks; None if it is not known."""

    # Of IRE

    kappa: NotRequired[float]
    """The boost that is in force: 0 before IRE starts."""
    ire_start: NotRequired[int | None]
    """The step from which IRE boosts; None before it does."""
    flat_fraction: NotRequired[float]
    """The share of all coordinates in the mask."""
    skipped_refreshes: NotRequired[int]
    """Refreshes of the mask that were left out, because the curvature was not finite, or zero everywhere."""
    mask_overlap: NotRequired[float | None]
    """How far successive masks agree: 0 as random ones, 1 the same; None before the second."""
    zero_curvature: NotRequired[float | None]
    """The share of ranked coordinates whose curvature was exactly zero; None before the first mask."""

    # Of trials whose flatness is measured, where it is due

    fisher_trace: NotRequired[float | None]
    fisher_trace_error: NotRequired[float | None]
    hessian_trace: NotRequired[float | None]
    hessian_trace_error: NotRequired[float | None]
    largest_eigenvalue: NotRequired[float | None]
    largest_eigenvalue_error: NotRequired[float | None]
    flatness_error: NotRequired[str]
    """Why flatness could not be measured."""


Curve = Sequence[Report]
"""The reports of one run, in rising steps."""


def value(report: Report, name: str) -> Any:
    """The value of any key of a report, such as a metric of the task; None if it is absent."""
    return report.get(name)
