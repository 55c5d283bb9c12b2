"""What the workers of a trial send to the process that runs the sweep: reports, and what went wrong."""

from dataclasses import dataclass

from ire.trial.report import Report


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Something that interrupted a trial and did not come of its settings; it continues from its checkpoint."""

    kind: str
    """`workers lost`, `hang` or `actor lost`."""
    cause: str


@dataclass(frozen=True, kw_only=True)
class StorageTrouble:
    """A checkpoint that could not be written; the trial goes on without it."""

    cause: str
    is_full: bool
    """Whether the storage has no room left, so that nothing else can be written, either."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """What has come of a trial since its last message; empty if there was no news."""

    reports: tuple[Report, ...] = ()
    flat_fractions: tuple[dict[str, float], ...] = ()
    """For each report, the share of every parameter tensor that IRE's mask holds, by the parameter's name."""
    last: bool = False
    """Whether the trial has ended, and no message follows."""
    error: str | None = None
    """The traceback with which the trial itself has failed."""
    gang_is_well: bool = False
    """Whether the workers of a trial that has failed can train the next one."""
    trouble: Trouble | None = None
    storage_trouble: StorageTrouble | None = None
    notice: str | None = None
    """For people to read: why nothing happens."""
    prefix: int | None = None
    """Gradient evaluations that another trial has spent for this one's first steps."""
    placement_group: str | None = None
    """What the gang that has taken up the trial occupies on the cluster, as a hexadecimal id."""
