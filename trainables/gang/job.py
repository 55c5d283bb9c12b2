"""The config of a trial's actor: which trial to train, and with which workers, as plain data."""

from typing import Any, TypedDict


class Job(TypedDict):
    """One trial, as its workers train it."""

    spec: dict[str, Any]
    """`TrialSpec.to_dict`."""
    checkpoint: str | None
    """A folder or its URI, as `prefixes`."""
    prefixes: str | None
    checkpoint_seconds: float
    keep_last: bool
    hang_seconds: float


class Gang(TypedDict):
    """The workers; a trial with another gang than the last one's starts its own."""

    workers: int
    cpus_per_worker: int
    gpus_per_worker: float
    storage: str
    """Ray Train's own, never read."""
    import_path: list[str]
    sources: dict[str, Any] | None
    """Of a training function's script: the fields of `Sources`."""
    data_dir: str | None


class Config(TypedDict):
    """The Tune config of a trial."""

    job: Job
    gang: Gang
