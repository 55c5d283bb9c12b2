"""The boost inside the update of an optimizer with a known formula: one pass, nothing copied."""

# Torch does not list its foreach and fused kernels.
# pyright: reportPrivateImportUsage=false, reportPrivateUsage=false

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from ire.optim.steps.arithmetic import Number, wide
from ire.optim.steps.boost import Boost
from ire.optim.steps.bundles import Bundle, GraphInput, bundled, compiled
from ire.optim.steps.counters import count_one_more
from ire.optim.steps.kernels import one_pass
from ire.optim.steps.measured import go_on, step_and_boost
from ire.optim.steps.rebuilt import boost_from_state
from ire.optim.steps.rules import Movement, Numbers, Rule, movements
from ire.optim.tensors.blocks import STEP_BLOCK, Scratch, blocks, flat_together


class Native:
    """Computes the base's step itself, on the base's own state.

    If a parameter has no state yet, the base takes the step, and its displacement is boosted.
    Uncompiled, it is one pass of a C kernel (`ire.optim.steps.kernels`); without it, torch's fused
    kernel runs on one cache block after another. `compile` makes all parameters one graph, in which lr, κ and all other
    numbers are tensors, so that no change recompiles it. Arithmetic is fp32 for parameters in half precision.
    """

    name = "native"

    def __init__(self, rule: Rule, *, compile: bool = False, boost_weight_decay: bool = True) -> None:
        self.rule = rule
        self.boost_weight_decay = boost_weight_decay
        self._graph = compiled(_run_graph) if compile else None

    def step(self, base: Optimizer, boosts: Sequence[Boost]) -> None:
        """One step of `base` on all parameters that have a gradient."""
        found = movements(self.rule, base)
        if found is None:
            step_and_boost(base.step, boosts)
            return
        bundles = bundled(found, {boost.parameter: boost for boost in boosts}, steps_ahead=1)
        if self._graph is not None:
            self._graph([bundle.for_graph(self.rule, self.boost_weight_decay) for bundle in bundles])
        else:
            scratch = Scratch(), Scratch()
            for bundle in bundles:
                self._run_blocks(bundle, *scratch)
        _count(found)

    def _run_blocks(self, bundle: Bundle, before: Scratch, scratch: Scratch) -> None:
        numbers = self.rule.at(bundle.group, bundle.time, self.boost_weight_decay)
        fused = self.rule.fused(bundle.group, bundle.time)
        rebuilds = numbers.rebuilds_cheaply and self.rule.rebuilds(bundle.group)
        quick = one_pass(numbers, bundle.jobs[0].p.dtype)
        written: list[Tensor] = []
        for job in bundle.jobs:
            kappa = job.boost.kappa if job.boost else None
            if quick is not None and quick.has_stepped(kappa or 0.0, job.p, job.g, job.buffers, job.mask):
                written += [job.p, *job.buffers]
                continue
            read = [job.g] if job.mask is None else [job.g, job.mask]
            count = len(job.buffers)
            vectors = flat_together([job.p, *job.buffers], read)
            if quick is not None and quick.has_stepped(kappa or 0.0, *_parts(vectors, count)):
                written += [job.p, *job.buffers]
                continue
            for block in blocks(*vectors, size=STEP_BLOCK):
                p, g, buffers, mask = _parts(block, count)
                # torch's fused kernels look at neither strides nor dtypes; half precision is computed in fp32.
                if p.dtype not in (torch.float32, torch.float64) or not _alike(p, g, *buffers):
                    _update(numbers, kappa, p, g, buffers, mask)
                    continue
                boost = job.boost
                was = before.like(p).copy_(p) if boost and not rebuilds else None
                fused(p, g, *buffers)
                if boost and was is not None:
                    go_on(p, was, mask, boost, scratch)
                elif boost:
                    boost_from_state(numbers, boost.kappa, p, g, tuple(buffers), mask, scratch)
        torch.autograd.graph.increment_version(written)


def _parts(tensors: Sequence[Tensor], buffers: int) -> tuple[Tensor, Tensor, Sequence[Tensor], Tensor | None]:
    """(p, g, buffers, mask) from p, that many buffers, g, and a mask if there is one."""
    g, *mask = tensors[buffers + 1 :]
    return tensors[0], g, tensors[1 : buffers + 1], mask[0] if mask else None


def _alike(*tensors: Tensor) -> bool:
    """Of one dtype and without gaps, as the fused kernels need them."""
    return all(t.dtype == tensors[0].dtype and t.is_contiguous() for t in tensors)


def _count(moves: Sequence[Movement]) -> None:
    """Count one more step in the base's own counters."""
    states = [move.state for move in moves if "step" in move.state]
    tensors = [state["step"] for state in states if isinstance(state["step"], Tensor)]
    if tensors:
        count_one_more(tensors)
    for state in states:
        if not isinstance(state["step"], Tensor):
            state["step"] += 1


def _run_graph(bundles: Sequence[GraphInput]) -> None:
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
    written = (p, *buffers)
    widened = [wide(t) for t in written]
    flat = None if mask is None else mask.to(widened[0].dtype)
    numbers.update(widened[0], wide(g), tuple(widened[1:]), kappa, flat)
    for old, new in zip(written, widened, strict=True):
        if old is not new:
            old.copy_(new)
