"""The config of a trial's actor: which trial to train, and with which workers, as plain data."""

from typing import Any, TypedDict


class Job(TypedDict):
    """One trial, as its workers train it."""

    spec: dict[str, Any]
    """`TrialSpec.to_dict`."""
    checkpoint: str | None
    """A folder or its URI, like `prefixes`."""
    prefixes: str | None
    checkpoint_seconds: float
    keep_last: bool
    hang_seconds: float


class Gang(TypedDict):
    """The workers; a trial whose gang differs from the last one's starts its own."""

    workers: int
    cpus_per_worker: int
    gpus_per_worker: float
    storage: str
    """The folder that Ray Train needs; never read."""
    import_path: list[str]
    sources: dict[str, Any] | None
    """The fields of `Sources`, for the script of a training function."""
    data_dir: str | None


class Config(TypedDict):
    """The Tune config of a trial."""

    job: Job
    gang: Gang
