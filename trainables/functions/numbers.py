"""Converts the values that a training function reports to numbers: the mean over workers, finite or None."""

import math
from collections.abc import Mapping
from typing import Any, cast

import torch.distributed as dist
from torch import Tensor

from ire.invalid_input import InvalidInput
from ire.trial.metric import TEST, VALIDATION
from ire.trial.report import RESULT_KEYS

Numbers = dict[str, float | None]

MEASURED = frozenset(
    (
        *("step", "gradient_evaluations", "seconds", "steps_per_second", "diverged", "hardware"),
        *("warmup_seconds", "peak_memory_mib", "gpu_utilization"),
    )
)
"""Names that a metric cannot have, because their values are measured here."""


def check_metric(name: str, *, call: str) -> None:
    """Raise `InvalidInput` for a reserved or invalid name of a metric."""
    if name in MEASURED:
        raise InvalidInput(f"{call}: {name!r} is measured for every report; rename your metric")
    if name in RESULT_KEYS:
        raise InvalidInput(
            f"{call}: {name!r} is a reserved key of the records; rename your metric, for example to {'val_' + name!r}"
        )
    if not name or not name.isprintable():
        raise InvalidInput(f"{call}: {name!r} is not a valid name of a metric: use printable characters")
    if name.startswith(TEST):
        raise InvalidInput(
            f"{call}: {name!r}: the test split is evaluated only at the end; register a function instead: "
            "trial.test_metrics(function)"
        )


def check_compared(values: Mapping[str, Any], metric: str, step: int) -> None:
    """Raise `InvalidInput` if the report at `step` lacks the metric by which trials are compared."""
    if values.get(metric) is None:
        what = "which the search minimizes" if metric == "val_loss" else "by which trials are compared"
        raise InvalidInput(
            f"trial.report({step}) without {metric}, {what}: pass it each time, as in "
            f"trial.report(step, train_loss=..., {metric}=...)"
        )


def test_values(found: object, metric: str) -> dict[str, Any]:
    """The metrics of the test split by the names of the records; `InvalidInput` if the compared one is not there."""
    needed = metric.removeprefix(VALIDATION)
    if not isinstance(found, Mapping) or needed not in found:
        raise InvalidInput(
            f"trial.test_metrics: the function returned {found!r}: must be a dictionary with {needed!r}, by which "
            f"winners are judged, as in {{{needed!r}: ...}}"
        )
    return {f"{TEST}{name}": value for name, value in cast(Mapping[str, Any], found).items()}


def number(name: str, value: Any) -> float | None:
    """The Python number of a metric from Python, numpy or torch; None stays None. Raises `InvalidInput` otherwise."""
    if value is None:
        return None
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise InvalidInput(
                f"{name} has the shape {tuple(value.shape)}: must be a single number, such as its mean"
            )
        return float(value.detach())
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(
            f"{name} is {value!r}, a {type(value).__name__}: must be a single number"
        ) from error


def mean_over_workers(numbers: Numbers, *, rank: int, world_size: int) -> Numbers:
    """The mean of each number over the workers; raises `InvalidInput` unless all report the same metrics."""
    if world_size == 1:
        return numbers
    found: list[Any] = [None] * world_size
    dist.all_gather_object(found, numbers)
    for other, theirs in enumerate(found):
        if set(theirs) != set(numbers):
            names = ", ".join(sorted(set(theirs) ^ set(numbers)))
            raise InvalidInput(
                f"workers {min(rank, other)} and {max(rank, other)} do not both report {names}"
            )
    return {name: _mean([theirs[name] for theirs in found]) for name in numbers}


def _mean(values: list[float | None]) -> float | None:
    """The mean of the known values; equal values stay bit for bit."""
    known = [value for value in values if value is not None]
    if not known or all(value == known[0] for value in known):
        return known[0] if known else None
    return sum(known) / len(known)


def finite(value: float | None) -> float | None:
    """The number, or None if it is not finite, since JSON has no such numbers."""
    return value if value is not None and math.isfinite(value) else None
