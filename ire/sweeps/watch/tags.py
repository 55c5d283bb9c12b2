"""What trackers show of a trial: what identifies it, and the names, in groups, of the values of its reports."""

import math
from typing import Any

from ire.sweeps.records.records import TrialRecord
from ire.trial.report import MEASURES, Report, value

# TensorBoard sorts groups by name and opens the first one, `loss`.
GROUPS = {
    "loss": ("train_loss", "val_loss", "test_loss"),
    "optimizer": (
        "lr",
        "grad_norm",
        "micro_grad_norm",
        "penalty",
        "step_length",
        "kappa",
        "flat_fraction",
        "skipped_refreshes",
        "mask_overlap",
        "zero_curvature",
    ),
    "sharpness": MEASURES,
    "spent": (
        "gradient_evaluations",
        "seconds",
        "steps_per_second",
        "warmup_seconds",
        "peak_memory_mib",
        "gpu_utilization",
    ),
}
TAGS = {name: f"{group}/{name}" for group, names in GROUPS.items() for name in names}


def identity(trial: TrialRecord) -> dict[str, Any]:
    """What tells a trial from others; studies count from 1, as for the reader of a report."""
    return {
        "method": trial.method,
        "stage": trial.stage,
        "study": trial.study + 1,
        "seed": trial.spec.seed,
    }


def scalars(report: Report) -> dict[str, float]:
    """The numbers of a report by tag; a value that is not finite is NaN."""
    return {
        TAGS.get(name, f"metric/{name}"): math.nan if found is None else found
        for name in report
        if name not in ("step", "diverged") and not isinstance(found := value(report, name), str)
    }
