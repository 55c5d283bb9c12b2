"""The steps of a trial before IRE boosts, which are the same for all trials that differ only in IRE's settings.

So the first of these trials saves its state there, and the others start from it (`--share-prefix`). Their reports are
bitwise those without sharing; the gradients of these steps are computed once.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from ire.methods.ire import IRE
from ire.storage.storage import below, patiently
from ire.trial.spec import TrialSpec
from trainables.training.checkpoint import load_checkpoint, save_checkpoint
from trainables.training.training import Training

OWN = ("name", "test")
"""Fields of a specification that affect only the end of a trial."""


def prefix_steps(spec: TrialSpec) -> int:
    """The maximum number of steps before IRE boosts; a low training loss may start it earlier. 0 without IRE."""
    method = spec.parsed_method
    return method.start(spec.settings, spec.horizon) if method.ire else 0


def prefix_key(spec: TrialSpec) -> str | None:
    """A name for the prefix, equal for trials that share it; None for a trial without one."""
    if not prefix_steps(spec):
        return None
    method = replace(spec.parsed_method, ire=False, control=None)
    ours = set(IRE.settings)
    if spec.settings["start_loss"]:  # with it the start depends on both settings
        ours -= {"start_loss", "start_fraction"}
    settings = {name: value for name, value in spec.settings.items() if name not in ours}
    own = OWN if spec.flatness_points > 1 else (*OWN, "flatness")
    fields = {name: value for name, value in spec.to_dict().items() if name not in own}
    if spec.data is None:  # as in sweeps by versions that did not record it
        del fields["data"]
    text = json.dumps(fields | {"method": method.name, "settings": settings}, sort_keys=True)
    return f"{method.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


class SharedPrefix:
    """The saved prefixes from which one trial may begin, and to which it adds its own; in every worker."""

    def __init__(self, location: str | Path, key: str) -> None:
        """`location` is the folder, or its URI, of all prefixes of a sweep; `key` is the trial's (`prefix_key`)."""
        self._location = below(location, key)
        self._known = 0

    def find(self, training: Training) -> dict[str, Any] | None:
        """The longest saved state that the trial passes through; None unless all workers see the same.

        Between two reports each of several workers has its own sums, which a state holds as one: a trial that does not
        itself sum up at that step (`Training.advance`) would differ.
        """
        state = patiently(
            lambda: load_checkpoint(self._location, device=training.device, at_most=training.start)
        )
        step = state["step"] if state else 0
        if training.world_size > 1:
            ends = torch.tensor([step, -step], device=training.device)
            dist.all_reduce(ends, op=dist.ReduceOp.MAX)
            is_its_start = step == training.start or training.may_start_early
            if ends[0] != -ends[1] or not (is_its_start or training.spec.reports_at(step)):
                return None
        self._known = step
        return state

    def take(self, training: Training) -> None:
        """Save the state of a trial at the start of IRE, unless it began there."""
        if training.rank == 0 and self._known < training.step == training.start:
            save_checkpoint(training.state_dict(), self._location, kept=None)
