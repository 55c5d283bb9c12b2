"""The specification of one trial as plain data, for the driver, the workers and the records."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from ire.invalid_input import InvalidInput
from ire.methods.composed import Method
from ire.methods.method import parse_method
from ire.methods.schedule import check_schedule

LEFT_OUT = {"metric": "val_loss", "batch_unit": None}
"""Fields that are recorded only if they differ from these defaults, so that other records equal older ones."""
PRECISIONS = ("fp32", "tf32", "bf16")
"""torch's default; the same with TF32 matrix products on GPUs that support them; autocast to bfloat16."""


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """One training run of one method at one point of its search space.

    Two trials with equal fields give bitwise equal curves on the same CPU.
    """

    task: str
    """A task's name, or `package.module:Class`."""
    method: str
    settings: Mapping[str, Any]
    """Every setting of the method, resolved."""
    seed: int
    """Determines initialisation, data order and sampled labels; trials with equal seeds are paired."""
    horizon: int
    """Optimizer steps of the trial, over which schedules run."""
    eval_interval: int
    """Optimizer steps between two reports."""
    study: int = 0
    """The number of its study, from 0, which determines the split of the task's training data."""
    rungs: tuple[int, ...] = ()
    """Steps at which the trial waits for the decision to continue or stop."""
    test: bool = False
    """Whether the last report also has the metrics of the test split (confirm runs, and measured grids)."""
    timing: bool = False
    """Whether the trial only measures its time per step: its only report has no evaluation."""
    flatness: int = 0
    """Number of training batches on which flatness is measured; 0 for no measurement."""
    flatness_points: int = 1
    """Number of flatness measurements, evenly spaced along the horizon; 1 means only at the end."""
    threads: int = 1
    """CPU threads of one worker; part of the specification because they change the order of sums."""
    micro_batches: int = 1
    """Parts in which a worker's share of a batch is processed (gradient accumulation)."""
    precision: str = "fp32"
    """One of `PRECISIONS`."""
    compile: bool = False
    """Whether model and loss, evaluation and IRE's step are compiled (`torch.compile`)."""
    deterministic: bool = False
    """Whether only deterministic algorithms are used, also on a GPU."""
    schedule: str = "cosine"
    """The shape of the learning rate: see `ire.methods.schedule`."""
    external_norms: tuple[tuple[int, float], ...] = ()
    """(steps taken, micro-batch gradient norm) pairs that another trial reported, for external grafting; kept here, so
    that the trial needs no other folder."""
    metric: str = "val_loss"
    """The value of a report by which trials are compared; if it is not finite, the trial diverged."""
    batch_unit: int | None = None
    """Batch size, in examples, whose gradient counts as one gradient evaluation; None for the trial's batch."""
    data: str | None = None
    """Identity of the sweep's data (`Task.data_identity`); a worker with other data refuses the trial."""
    name: str = field(default="trial", compare=False)

    def __post_init__(self) -> None:
        for name in ("horizon", "eval_interval", "threads", "micro_batches", "flatness_points"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} = {getattr(self, name)!r}: must be an integer of at least 1")
        check_schedule(self.schedule)
        if self.precision not in PRECISIONS:
            raise InvalidInput(f"precision = {self.precision!r}: must be one of {', '.join(PRECISIONS)}")

    @cached_property
    def parsed_method(self) -> Method:
        """The method, parsed."""
        return parse_method(self.method)

    def reports_at(self, step: int) -> bool:
        """Whether the trial evaluates and reports after `step` optimizer steps."""
        return step % self.eval_interval == 0 or step == self.horizon or step in self.rungs

    def to_dict(self) -> dict[str, Any]:
        """The fields in JSON types."""
        plain = {"rungs": list(self.rungs), "external_norms": [list(pair) for pair in self.external_norms]}
        fields = asdict(self) | {"settings": dict(self.settings)} | plain
        for name, default in LEFT_OUT.items():
            if fields[name] == default:
                del fields[name]
        return fields

    @property
    def identity(self) -> dict[str, Any]:
        """The fields that a checkpoint must share: all except the name, and the data, which is checked separately."""
        return {name: value for name, value in self.to_dict().items() if name not in ("name", "data")}

    def differences(self, saved: Mapping[str, Any]) -> list[str]:
        """The differences from a saved `identity`, each as `horizon 20, now 40`."""
        mine, theirs = self.identity, TrialSpec.from_dict(saved).identity
        return [
            f"{name} {theirs.get(name)!r}, now {mine.get(name)!r}"
            for name in {**mine, **theirs}
            if theirs.get(name) != mine.get(name)
        ]

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "TrialSpec":
        """The inverse of `to_dict`."""
        norms = tuple((step, norm) for step, norm in fields.get("external_norms", ()))
        plain: dict[str, Any] = {**fields, "rungs": tuple(fields["rungs"]), "external_norms": norms}
        return cls(**plain)
