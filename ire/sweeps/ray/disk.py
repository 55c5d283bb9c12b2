"""Estimates the disk space of a sweep before it starts, most of it for checkpoints."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from ire.invalid_input import InvalidInput
from ire.storage.sizes import megabytes
from ire.storage.storage import is_uri
from ire.sweeps.plan.plan import SELECTION_SEEDS, Plan
from ire.sweeps.records.experiment_home import PREFIXES, RECORDS
from ire.sweeps.records.records import CONFIRM, SEARCH
from trainables.functions.function import TrainingFunction
from trainables.task import Task
from trainables.training.checkpoint import KEPT
from trainables.training.prefix import prefix_key, prefix_steps

RECORDS_BYTES = 400
"""Approximate bytes of records and TensorBoard events per report."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """The maximum disk space of a sweep in bytes, and the arithmetic behind it."""

    needed: int
    arithmetic: str


def room_needed(plan: Plan, task: Task | TrainingFunction, *, slots: int) -> Room:
    """The disk space for checkpoints and records.

    The state that a training function saves is unknown and counts as 0, as do checkpoints of a model that needs data
    which this machine lacks.
    """
    size = checkpoint_bytes(plan, task) if isinstance(task, Task) else 0
    earlier = max(plan.studies, plan.until_decided or 0) - 1  # studies that keep only their winners
    candidates = (plan.candidates + earlier) * len(plan.methods)  # all of them until the winners are chosen
    prefixes = _prefixes(plan)
    live = (KEPT + 1) * slots  # plus the one that is being written
    reports = (
        plan.trials * len(plan.methods) * (1 + earlier) * (plan.space.horizon // plan.space.eval_interval + 1)
    )
    needed = size * (live + KEPT * candidates + prefixes) + RECORDS_BYTES * reports
    if not isinstance(task, Task):
        arithmetic = (
            f"disk: at most about {megabytes(needed)} of records, plus the state that the function saves"
        )
        return Room(needed=needed, arithmetic=arithmetic)
    return Room(
        needed=needed,
        arithmetic=f"disk: at most about {megabytes(needed)}: checkpoints of {megabytes(size)} x ({KEPT + 1} x {slots} "
        f"live trials + {KEPT} x {candidates} candidates{f' + {prefixes} shared prefixes' * bool(prefixes)}), "
        "and the records",
    )


def _prefixes(plan: Plan) -> int:
    """Maximum number of shared prefixes on disk; a control with published settings has its own."""
    ires = [method for method in map(plan.method, plan.methods) if method.ire]
    count = 0
    if plan.shares_prefix(SEARCH):
        for method in ires:
            points = [plan.space.published(method) | point for point in plan.space.grid(method)]
            specs = [plan.search_trial(method.name, number, point) for number, point in enumerate(points)]
            count += len({(prefix_key(spec), prefix_steps(spec)) for spec in specs})
        count *= 1 + (SELECTION_SEEDS if plan.candidates > 1 else 0)
    if plan.shares_prefix(CONFIRM):
        count += 2 * len(ires) * plan.confirm_seeds
    return count * plan.studies


def checkpoint_bytes(plan: Plan, task: Task) -> int:
    """Bytes of the largest checkpoint of any method: weights, optimizer state and mask."""
    try:
        with torch.device("meta"):
            model = task.model()
    except (RuntimeError, NotImplementedError):  # a model that computes with its weights in its constructor
        model = task.model()
    except InvalidInput:  # its data is only on the machines of the cluster
        return 0
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    buffers = sum(b.numel() * b.element_size() for b in model.buffers())
    masks = sum(p.numel() for p in model.parameters())
    sizes: list[float] = []
    for name in plan.methods:
        method = plan.method(name)
        sizes.append(weights * (1 + method.base.state_tensors) + buffers + masks * method.ire)
    return int(max(sizes))


def check_room(room: Room, location: str) -> str:
    """The arithmetic and the free space in words; raises `InvalidInput` if the free space is too small.

    A resumed sweep has used a part of the space at `location` already.
    """
    if is_uri(location):
        return room.arithmetic
    folder = next(path for path in [Path(location), *Path(location).parents] if path.exists())
    free, there = shutil.disk_usage(folder).free, sum(map(_size, _counted(Path(location))))
    arithmetic = room.arithmetic + (f"; {megabytes(there)} of it are used already" if there else "")
    if free < room.needed - there:
        raise InvalidInput(
            f"{arithmetic}; {str(folder)!r} has {megabytes(free)} left: make room, choose another "
            "--storage, or lower --max-concurrent"
        )
    return f"{arithmetic}; {megabytes(free)} free"


def _counted(experiment: Path) -> list[Path]:
    """The existing files and folders that `room_needed` counts."""
    folders = (experiment / name for name in ("checkpoints", PREFIXES, "trials"))
    return [
        *(experiment / name for name in RECORDS),
        *(path for folder in folders for path in folder.rglob("*")),
    ]


def _size(path: Path) -> int:
    """The bytes of a file; 0 for a folder."""
    return path.stat().st_size if path.is_file() else 0
