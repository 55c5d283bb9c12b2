"""The inputs of a compiled step, all of them tensors, so that no change of a number recompiles it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ire.optim.steps.arithmetic import Number
from ire.optim.steps.boost import Boost
from ire.optim.steps.rules import Movement, Numbers, Rule
from ire.optim.tensors.typed import numbers

GraphInput = tuple[
    Numbers, Number | None, list[tuple[Tensor, Tensor, tuple[Tensor, ...], Tensor | None, bool]]
]
"""(numbers of the rule, κ, jobs) of a bundle; a job is (p, g, buffers, mask, whether it is boosted)."""


class Job(NamedTuple):
    """One parameter of one step: everything element-wise about it."""

    p: Tensor
    g: Tensor
    buffers: tuple[Tensor, ...]
    mask: Tensor | None
    boost: Boost | None


class Bundle(NamedTuple):
    """Parameters of one group that share the numbers of a step."""

    group: dict[str, Any]
    time: float
    """Counted from 1."""
    jobs: list[Job]

    def for_graph(self, rule: Rule, boost_weight_decay: bool) -> GraphInput:
        """(numbers of the rule, κ, jobs); numbers and κ as 0-dimensional tensors in fp32 at least."""
        wide = torch.promote_types(self.jobs[0].p.dtype, torch.float32)

        def tensor(number: Any) -> Any:
            if isinstance(number, float):
                return torch.tensor(number, dtype=wide, device="cpu")
            return number

        numbers = rule.at(self.group, self.time, boost_weight_decay)
        kappa = next((float(job.boost.kappa) for job in self.jobs if job.boost), None)
        jobs = [(job.p, job.g, job.buffers, job.mask, job.boost is not None) for job in self.jobs]
        return numbers._make(map(tensor, numbers)), tensor(kappa), jobs


def bundled(moves: Sequence[Movement], boosts: Mapping[Tensor, Boost], steps_ahead: int) -> list[Bundle]:
    """All `moves`, for the step that is `steps_ahead` of the count in their state."""
    bundles: dict[tuple[object, ...], Bundle] = {}
    for move, taken in zip(moves, _steps_taken(moves), strict=True):
        boost, time = boosts.get(move.parameter), taken + steps_ahead
        key = (id(move.group), time, move.p.dtype, boost.kappa if boost else None)
        bundle = bundles.setdefault(key, Bundle(move.group, time, []))
        bundle.jobs.append(Job(move.p, move.g, move.buffers, boost.mask if boost else None, boost))
    return list(bundles.values())


def _steps_taken(moves: Sequence[Movement]) -> list[float]:
    """The base's step count of each; read from an accelerator in one transfer."""
    counts = [move.state.get("step", 0) for move in moves]
    devices = {count.device if isinstance(count, Tensor) else None for count in counts}
    if len(devices) == 1 and None not in devices:
        return numbers(torch.stack([count.reshape(()) for count in counts]))
    return [float(count) for count in counts]


def compiled(run: Callable[..., None]) -> Callable[..., None]:
    """`run` as one graph for the shapes it is given."""
    return torch.compile(run, dynamic=False)
