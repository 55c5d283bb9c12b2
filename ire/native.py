"""The boost inside the update of an optimizer whose formula we know: one pass, nothing copied."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from ire.arithmetic import Number
from ire.blocks import blocks, flat_together
from ire.boost import Boost
from ire.displacement import go_on, step_and_boost
from ire.rebuilt import boost_from_state
from ire.rules import Movement, Numbers, Rule, movements


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


class Native:
    """Takes the base's step by itself, in the base's own state.

    A parameter without state yet gets it from the base: that step is the base's, boosted from outside.
    Uncompiled, it runs torch's fused kernel on one cache block after another. `compiled` makes all
    parameters one graph, in which lr, κ and all other numbers are tensors, so that their changes never
    recompile. Arithmetic is fp32 for parameters in half precision.
    """

    name = "native"

    def __init__(self, rule: Rule, *, compiled: bool = False, boost_weight_decay: bool = True) -> None:
        self.rule = rule
        self.boost_weight_decay = boost_weight_decay
        self._graph = torch.compile(_run_graph, dynamic=False) if compiled else None

    def step(self, base: Optimizer, boosts: Sequence[Boost]) -> None:
        """One step of `base` on all parameters that have a gradient."""
        found = movements(self.rule, base)
        if found is None:
            step_and_boost(base.step, boosts)
            return
        bundles = _bundled(found, {boost.parameter: boost for boost in boosts})
        if self._graph is not None:
            self._graph([self._as_graph_input(bundle) for bundle in bundles])
        else:
            for bundle in bundles:
                self._run_blocks(bundle)
        for move in found:
            if "step" in move.state:
                move.state["step"] += 1

    def _run_blocks(self, bundle: Bundle) -> None:
        numbers = self.rule.at(bundle.group, bundle.time, self.boost_weight_decay)
        fused = self.rule.fused(bundle.group, bundle.time)
        for job in bundle.jobs:
            read = [job.g] if job.mask is None else [job.g, job.mask]
            count = len(job.buffers)
            for p, *rest in blocks(*flat_together([job.p, *job.buffers], read)):
                buffers, g, mask = rest[:count], rest[count], next(iter(rest[count + 1 :]), None)
                # torch's fused kernels do not look at strides, and half precision is to be computed in fp32.
                if p.dtype not in (torch.float32, torch.float64) or not _gapless(p, g, *buffers):
                    kappa = job.boost.kappa if job.boost else None
                    _update(numbers, kappa, p, g, buffers, mask)
                    continue
                was = p.clone() if job.boost and not numbers.rebuilds_cheaply else None
                fused(p, g, *buffers)
                if was is not None:
                    go_on(p, was, mask, job.boost)
                elif job.boost:
                    boost_from_state(numbers, job.boost.kappa, p, g, tuple(buffers), mask)

    def _as_graph_input(self, bundle: Bundle) -> tuple:
        wide = torch.promote_types(bundle.jobs[0].p.dtype, torch.float32)

        def tensor(number: float | bool | None) -> Tensor | bool | None:
            return torch.tensor(number, dtype=wide) if isinstance(number, float) else number

        numbers = self.rule.at(bundle.group, bundle.time, self.boost_weight_decay)
        kappa = next((float(job.boost.kappa) for job in bundle.jobs if job.boost), None)
        jobs = [(job.p, job.g, job.buffers, job.mask, job.boost is not None) for job in bundle.jobs]
        return type(numbers)(*map(tensor, numbers)), tensor(kappa), jobs


def _bundled(moves: Sequence[Movement], boosts: Mapping[Tensor, Boost]) -> list[Bundle]:
    bundles: dict[tuple, Bundle] = {}
    for move in moves:
        boost, time = boosts.get(move.parameter), move.time + 1
        bundle = bundles.setdefault((id(move.group), time, move.p.dtype), Bundle(move.group, time, []))
        mask = boost.mask if boost else None
        bundle.jobs.append(Job(move.p, move.g, move.buffers, mask, boost))
    return list(bundles.values())


def _gapless(*tensors: Tensor) -> bool:
    return all(t.is_contiguous() for t in tensors)


def _run_graph(bundles: list[tuple]) -> None:
    for numbers, kappa, jobs in bundles:
        for p, g, buffers, mask, boosted in jobs:
            _update(numbers, kappa if boosted else None, p, g, buffers, mask)


def _update(
    numbers: Numbers,
    kappa: Number | None,
    p: Tensor,
    g: Tensor,
    buffers: Sequence[Tensor],
    mask: Tensor | None,
) -> None:
    """The formula, in single precision at least."""
    wide = torch.promote_types(p.dtype, torch.float32)
    written = (p, *buffers)
    widened = [t.to(wide) for t in written]
    flat = None if mask is None else mask.to(wide)
    numbers.update(widened[0], g.to(wide), tuple(widened[1:]), kappa, flat)
    for old, new in zip(written, widened, strict=True):
        if old is not new:
            old.copy_(new)
