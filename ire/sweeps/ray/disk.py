"""How much room a sweep needs, before it starts: checkpoints are what fills a disk."""

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
"""About so many bytes of records and TensorBoard events come of one report."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """What a sweep needs at most, in bytes, and the arithmetic that says so."""

    needed: int
    arithmetic: str


def room_needed(plan: Plan, task: Task | TrainingFunction, *, slots: int) -> Room:
    """The room for checkpoints and records; a model that cannot be built without data counts as built.

    What a training function saves only it knows, and it counts as nothing.
    """
    size = checkpoint_bytes(plan, task) if isinstance(task, Task) else 0
    earlier = max(plan.studies, plan.until_decided or 0) - 1  # studies that keep their winners alone
    candidates = (plan.candidates + earlier) * len(plan.methods)  # all of them until the winners are chosen
    prefixes = _prefixes(plan)
    live = (KEPT + 1) * slots  # one more while it is being written
    reports = (
        plan.trials * len(plan.methods) * (1 + earlier) * (plan.space.horizon // plan.space.eval_interval + 1)
    )
    needed = size * (live + KEPT * candidates + prefixes) + RECORDS_BYTES * reports
    if not isinstance(task, Task):
        arithmetic = f"disk: at most about {megabytes(needed)} of records, and what the function saves"
        return Room(needed=needed, arithmetic=arithmetic)
    return Room(
        needed=needed,
        arithmetic=f"disk: at most about {megabytes(needed)}: checkpoints of {megabytes(size)} x ({KEPT + 1} x {slots} "
        f"live trials + {KEPT} x {candidates} candidates{f' + {prefixes} shared prefixes' * bool(prefixes)}), "
        "and the records",
    )


def _prefixes(plan: Plan) -> int:
    """How many shared prefixes may lie there at the end; a control with published settings has one of its own."""
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
    """The size of the largest checkpoint of any method: weights, optimizer state and mask."""
    try:
        with torch.device("meta"):
            model = task.model()
    except (RuntimeError, NotImplementedError):  # one that computes with its weights while it is built
        model = task.model()
    except InvalidInput:  # its data lies on the cluster's machines only
        return 0
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    buffers = sum(b.numel() * b.element_size() for b in model.buffers())
    masks = sum(p.numel() for p in model.parameters())
    sizes = []
    for name in plan.methods:
        method = plan.method(name)
        sizes.append(weights * (1 + method.base.state_tensors) + buffers + masks * method.ire)
    return max(sizes)


def check_room(room: Room, location: str) -> str:
    """The arithmetic with what is free; raises `InvalidInput` if that is less than is needed.

    Of a sweep that is resumed a part is at `location` already.
    """
    if is_uri(location):
        return room.arithmetic
    folder = next(path for path in [Path(location), *Path(location).parents] if path.exists())
    free, there = shutil.disk_usage(folder).free, sum(map(_size, _counted(Path(location))))
    arithmetic = room.arithmetic + (f"; {megabytes(there)} of it are there" if there else "")
    if free < room.needed - there:
        raise InvalidInput(
            f"{arithmetic}; {str(folder)!r} has {megabytes(free)} left: make room, choose another "
            "--storage, or lower --max-concurrent"
        )
    return f"{arithmetic}; {megabytes(free)} free"


def _counted(experiment: Path) -> list[Path]:
    """What there is of that which `room_needed` foresees."""
    folders = (experiment / name for name in ("checkpoints", PREFIXES, "trials"))
    return [
        *(experiment / name for name in RECORDS),
        *(path for folder in folders for path in folder.rglob("*")),
    ]


def _size(path: Path) -> int:
    """The bytes of a file; none of a folder."""
    return path.stat().st_size if path.is_file() else 0
