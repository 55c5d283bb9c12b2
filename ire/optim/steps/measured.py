"""The boost for any base optimizer: measure the displacement of its step, and extend it."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from ire.optim.steps.arithmetic import wide
from ire.optim.steps.boost import Boost
from ire.optim.steps.bundles import compiled
from ire.optim.steps.kernels import has_gone_on
from ire.optim.steps.measured_on_gpu import Before, before_on_gpu, measures_here
from ire.optim.tensors.blocks import Scratch, blocks, flat_together
from ire.optim.tensors.shards import local


class Measured:
    """Runs the base's step, then moves each boosted coordinate on by κ times its displacement.

    Wang et al. 2024, Eq. 4, with the whole displacement of the base as the update direction. Needs a copy
    of the boosted parameters. On the CPU its memory is kept from step to step, since fresh
    pages cost more time than the step itself; on accelerators it exists during the step only. On a GPU the boost is
    one launch before the step and one after it, compiled or not.
    """

    name = "measured"

    def __init__(self, *, compile: bool = False) -> None:
        self._graph = compiled(_go_on_graph) if compile else None
        self._copies: dict[Tensor, Tensor] = {}

    def step(self, base: Optimizer, boosts: Sequence[Boost]) -> None:
        """One step of `base`, boosted."""
        on_gpu, boosts = _apart(boosts)
        before = [_copy(local(boost.parameter), self._copies.get(boost.parameter)) for boost in boosts]
        self._copies = {
            boost.parameter: copy
            for boost, copy in zip(boosts, before, strict=True)
            if copy.device.type == "cpu"
        }
        base.step()
        for lot in on_gpu:
            lot.go_on()
        if self._graph is None:
            _go_on_all(boosts, before)
        elif boosts:
            jobs = [(local(b.parameter), was, b.mask) for b, was in zip(boosts, before, strict=True)]
            numbers = torch.tensor(
                [[b.kappa for b in boosts], [b.plain_decay for b in boosts]],
                dtype=torch.float64 if any(was.dtype == torch.float64 for was in before) else torch.float32,
                device=before[0].device,
            )
            kappas, decays = numbers
            self._graph(jobs, kappas, decays if any(b.plain_decay for b in boosts) else None)


def step_and_boost(step: Callable[[], object], boosts: Sequence[Boost]) -> None:
    """Run `step` and boost its displacement; parameters are updated in place. No memory is kept."""
    on_gpu, boosts = _apart(boosts)
    before = [local(boost.parameter).clone() for boost in boosts]
    step()
    for lot in on_gpu:
        lot.go_on()
    _go_on_all(boosts, before)


def _apart(boosts: Sequence[Boost]) -> tuple[list[Before], list[Boost]]:
    """(copies of the parameters that one launch can boost, the other boosts)."""
    here: list[Boost] = []
    others: list[Boost] = []
    for boost in boosts:
        (here if measures_here(boost) else others).append(boost)
    return before_on_gpu(here), others


def _copy(p: Tensor, old: Tensor | None) -> Tensor:
    """A copy of p, in the memory of `old` if that fits."""
    if old is None or (old.shape, old.dtype, old.device) != (p.shape, p.dtype, p.device):
        return p.clone()
    return old.copy_(p)


def _go_on_all(boosts: Sequence[Boost], before: Sequence[Tensor]) -> None:
    scratch = Scratch()
    for boost, old in zip(boosts, before, strict=True):
        read = [old] if boost.mask is None else [old, boost.mask]
        vectors = flat_together([local(boost.parameter)], read)
        if has_gone_on(vectors[0], vectors[1], vectors[2] if vectors[2:] else None, boost):
            continue
        for new, was, *mask in blocks(*vectors):
            go_on(new, was, mask[0] if mask else None, boost, scratch)


def go_on(p: Tensor, was: Tensor, mask: Tensor | None, boost: Boost, scratch: Scratch) -> None:
    """p ← p + κ n ⊙ (p − was), for one block of the boosted parameter; in single precision at least."""
    new, old = wide(p), wide(was)
    if boost.plain_decay:
        moved = (new - old).add_(old, alpha=boost.plain_decay)
        new.add_(moved if mask is None else moved.mul_(mask), alpha=boost.kappa)
    elif mask is None:
        new.lerp_(old, -boost.kappa)
    else:
        # An operand in uint8 would be converted element by element; converted first it costs a fifth.
        new.lerp_(old, scratch.like(new).copy_(mask).mul_(-boost.kappa))
    if new is not p:
        p.copy_(new)


def _go_on_graph(
    jobs: Sequence[tuple[Tensor, Tensor, Tensor | None]], kappas: Tensor, decays: Tensor | None
) -> None:
    for i, (p, was, mask) in enumerate(jobs):
        new, old = wide(p), wide(was)
        moved = new - old
        if decays is not None:
            moved = moved + decays[i] * old
        boost = moved * kappas[i] if mask is None else moved * (kappas[i] * mask.to(new.dtype))
        p.copy_(new + boost)
