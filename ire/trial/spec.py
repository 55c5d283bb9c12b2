"""What one trial is, as plain data: it travels from the driver to the workers and into the records."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from ire.invalid_input import InvalidInput
from ire.methods.composed import Method
from ire.methods.method import parse_method
from ire.trial.schedule import check_schedule

LEFT_OUT = {"metric": "val_loss", "batch_unit": None}
"""Fields that a record holds only where they say something, so that records are those of versions without them."""
PRECISIONS = ("fp32", "tf32", "bf16")
"""As torch does by default; the same with TF32 in matrix products, where a GPU has it; autocast to bfloat16."""


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
    """Decides initialisation, data order and sampled labels; trials that share it are paired."""
    horizon: int
    """Optimizer steps over which the schedules are laid."""
    eval_interval: int
    """Optimizer steps between two reports."""
    study: int = 0
    """The study it belongs to, counted from 0: its number decides how the task's training data is split."""
    rungs: tuple[int, ...] = ()
    """Steps at which the trial waits for the decision whether it continues."""
    test: bool = False
    """Whether the last report also has the test split's metrics (confirm runs, and grids that are measured)."""
    timing: bool = False
    """Whether only its time per step is asked for: its one report is made without an evaluation."""
    flatness: int = 0
    """Training batches on which flatness is measured; 0 leaves it out."""
    flatness_points: int = 1
    """How often it is measured, evenly along the horizon; 1 is at the end alone."""
    threads: int = 1
    """CPU threads of one worker; part of the trial because it changes the order of sums."""
    micro_batches: int = 1
    """Parts in which a worker's share of a batch is processed (gradient accumulation)."""
    precision: str = "fp32"
    """One of `PRECISIONS`."""
    compile: bool = False
    """Whether model and loss, evaluation and IRE's step are compiled (`torch.compile`)."""
    deterministic: bool = False
    """Whether only algorithms are used that give the same bits twice, on a GPU, too."""
    schedule: str = "cosine"
    """The shape of the learning rate: see `ire.trial.schedule`."""
    external_norms: tuple[tuple[int, float], ...] = ()
    """(steps taken, micro-batch gradient norm) that another trial reported: what external grafting takes its lengths
    from, here so that the trial needs no other folder."""
    metric: str = "val_loss"
    """The value of a report by which trials are compared: one that is not finite counts as divergence."""
    batch_unit: int | None = None
    """Examples of the batch whose gradient counts as one gradient evaluation; None: those of the trial's own batch."""
    data: str | None = None
    """What the sweep is trained on (`Task.data_identity`); a worker that finds other data refuses the trial."""
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
        """The method, taken apart."""
        return parse_method(self.method)

    def reports_at(self, step: int) -> bool:
        """Whether the trial evaluates and reports after `step` optimizer steps."""
        return step % self.eval_interval == 0 or step == self.horizon or step in self.rungs

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON can hold them."""
        plain = {"rungs": list(self.rungs), "external_norms": [list(pair) for pair in self.external_norms]}
        fields = asdict(self) | {"settings": dict(self.settings)} | plain
        for name, default in LEFT_OUT.items():
            if fields[name] == default:
                del fields[name]
        return fields

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must share: the fields without the name, and without the data, which has its own check."""
        return {name: value for name, value in self.to_dict().items() if name not in ("name", "data")}

    def differences(self, saved: Mapping[str, Any]) -> list[str]:
        """What a saved `identity` says otherwise, each as `horizon 20, now 40`."""
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
