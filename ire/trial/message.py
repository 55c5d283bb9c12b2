"""The messages that the workers of a trial send to the process that runs the sweep: reports and failures."""

from dataclasses import dataclass

from ire.trial.report import FlatFraction, Report


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """An interruption of a trial that its settings did not cause; the trial continues from its checkpoint."""

    kind: str
    """`workers lost`, `hang` or `actor lost`."""
    cause: str


@dataclass(frozen=True, kw_only=True)
class StorageTrouble:
    """A checkpoint that could not be written; the trial continues without it."""

    cause: str
    is_full: bool
    """Whether the storage is full, so that nothing else can be written."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """The events of a trial since its last message; empty if there are none."""

    reports: tuple[Report, ...] = ()
    flat_fractions: tuple[dict[str, FlatFraction], ...] = ()
    """For each report, what IRE's mask holds of each parameter tensor, by the parameter's name."""
    last: bool = False
    """Whether the trial has ended, so that no message follows."""
    error: str | None = None
    """The traceback of the trial's own failure."""
    gang_is_well: bool = False
    """Whether the workers of a failed trial can train the next one."""
    trouble: Trouble | None = None
    storage_trouble: StorageTrouble | None = None
    notice: str | None = None
    """A human-readable message about why nothing happens."""
    prefix: int | None = None
    """Gradient evaluations that another trial spent for this one's first steps."""
    placement_group: str | None = None
    """The placement group of the gang that trains the trial, as a hexadecimal id."""
