"""The values that a trial reports at an evaluation: the central datum, from training loop to records and page.

A report is a dictionary because it is a line of `results.jsonl` and a part of every checkpoint, unchanged. This file
defines its keys and their meaning. The metrics of the task are further keys, such as `val_accuracy` or
`test_perplexity`; `value` reads one by its name. A float that is not finite is None.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, NotRequired, TypedDict

RESULT_KEYS = ("trial", "method", "stage", "seed", "start", "status", "error", "time", "flat_fractions")
"""Keys of `results.jsonl` that describe the trial; no value of a report may have such a name."""

MEASURES = ("fisher_trace", "hessian_trace", "largest_eigenvalue")
"""The measures of flatness."""


class FlatFraction(NamedTuple):
    """The part of one parameter tensor that IRE boosts."""

    share: float
    """Share of its coordinates in the mask, in 0 to 1."""
    coordinates: int
    """Its size."""


NO_MASK: Mapping[str, FlatFraction] = MappingProxyType({})


class Report(TypedDict):
    """The state of one trial after `step` optimizer steps of its task."""

    step: int
    """Rises from report to report; the horizon in the last report of a finished trial."""
    gradient_evaluations: int
    """Gradients of a full batch spent so far: a step of SAM counts two, a curvature pass one."""
    seconds: float
    """Training seconds so far, device-synchronised, without evaluation and checkpoints."""
    train_loss: float | None
    """Mean over the steps since the last report."""
    val_loss: float | None
    diverged: bool
    """Whether the loss is not finite or has exploded; the report is then the trial's last one."""
    steps_per_second: float | None
    """Since the last report; None if no time has passed."""

    # Of tasks, and optionally of training functions

    lr: NotRequired[float]
    """Learning rate of the first parameter group, after the schedule."""
    step_length: NotRequired[float]
    grad_norm: NotRequired[float]
    micro_grad_norm: NotRequired[float]
    """Mean over the micro-batches of a step; external grafting uses it from another trial."""
    penalty: NotRequired[float]
    """The penalty term of the loss, before its weight."""
    warmup_seconds: NotRequired[float]
    """Seconds excluded from `seconds`: compiling, and the first steps on a GPU."""
    peak_memory_mib: NotRequired[float]
    """Peak memory of the accelerator since the start of the trial, in MiB."""
    gpu_utilization: NotRequired[float]
    """The GPU's utilization right before the report, by all its processes, in 0 to 1."""
    hardware: NotRequired[str]
    """The hardware, in the last report of a trial that is measured."""

    optimizer_seconds: NotRequired[float | None]
    """Seconds of one step without forward, backward and masks, in a turn of the quiet pass; None if unknown."""

    # Of IRE

    kappa: NotRequired[float]
    """The current boost: 0 before IRE starts."""
    ire_start: NotRequired[int | None]
    """The step from which IRE boosts; None before it starts."""
    flat_fraction: NotRequired[float]
    """Share of all coordinates in the mask."""
    skipped_refreshes: NotRequired[int]
    """Number of mask refreshes skipped because the curvature was not finite, or zero everywhere."""
    mask_overlap: NotRequired[float | None]
    """Agreement of successive masks: 0 for random masks, 1 for equal ones; None before the second mask."""
    zero_curvature: NotRequired[float | None]
    """Share of ranked coordinates whose curvature was exactly zero; None before the first mask."""

    # At the steps at which flatness is measured

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
