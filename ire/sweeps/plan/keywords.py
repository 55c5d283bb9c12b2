"""The options of `sweep()` and `resume()` for editors and type checkers.

`options.py` is authoritative, but tools that do not run it cannot read it. So its names and types are repeated here,
and a test compares them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict


class SweepOptions(TypedDict, total=False):
    """Options of `sweep()`; `PlannedOptions` and `CallOptions` describe each."""

    preset: str | None
    methods: Sequence[str] | None
    baselines: Sequence[str]
    trials: int | None
    confirm_seeds: int | None
    candidates: int | None
    seed: int
    studies: int | None
    until_decided: int | None
    curve: Sequence[float] | bool
    curve_lr: Sequence[float]
    warm_start: str | None
    widen: bool | None
    clock: str | None
    controls: bool
    share_prefix: bool | None
    compile: bool
    deterministic: bool
    external: str | None
    precision: str | None
    schedule: str | None
    micro_batches: int
    workers: int
    cpus_per_worker: int
    gpus_per_worker: float | str | None
    max_concurrent: int | None
    max_failures: int
    hang_seconds: float
    checkpoint_seconds: float
    name: str | None
    data_dir: str | None
    scale: str | None
    space: Mapping[str, Any] | Path | str | None
    storage: str | Path
    address: str | None
    loggers: Sequence[str]
    inline: bool


class ResumeOptions(TypedDict, total=False):
    """Options of `resume()`; None and false change nothing."""

    methods: Sequence[str] | None
    trials: int | None
    confirm_seeds: int | None
    studies: int | None
    until_decided: int | None
    curve: Sequence[float] | bool
    widen: bool | None
    controls: bool
    max_concurrent: int | None
    max_failures: int | None
    hang_seconds: float | None
    address: str | None
    loggers: Sequence[str] | None
    inline: bool
