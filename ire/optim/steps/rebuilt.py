"""The boost after the base's own fused step: the displacement is recomputed from its state.

This saves the copy of all parameters that an unknown optimizer needs.
"""

from collections.abc import Sequence

from torch import Tensor
from torch.optim import Optimizer

from ire.optim.steps.arithmetic import Number, add_product_, add_scaled_, wide
from ire.optim.steps.boost import Boost
from ire.optim.steps.bundles import Bundle, GraphInput, bundled, compiled
from ire.optim.steps.kernels import has_boosted
from ire.optim.steps.measured import step_and_boost
from ire.optim.steps.rules import Numbers, Rule, movements
from ire.optim.tensors.blocks import Scratch, blocks, flat_together


class Rebuilt:
    """Lets the base step, then adds κ n ⊙ Δ with Δ from its buffers and the parameters after the step."""

    name = "rebuilt"

    def __init__(self, rule: Rule, *, compile: bool = False, boost_weight_decay: bool = True) -> None:
        self.rule = rule
        self.boost_weight_decay = boost_weight_decay
        self._graph = compiled(_boost_graph) if compile else None

    def step(self, base: Optimizer, boosts: Sequence[Boost]) -> None:
        """One step of `base`, boosted."""
        if movements(self.rule, base) is None or not all(map(self.rule.rebuilds, base.param_groups)):
            step_and_boost(base.step, boosts)
            return
        base.step()
        boosted = {boost.parameter: boost for boost in boosts}
        moved = movements(self.rule, base)
        assert moved is not None  # as before the step
        moves = [move for move in moved if move.parameter in boosted]
        bundles = bundled(moves, boosted, steps_ahead=0)
        if self._graph is None:
            self._run_blocks(bundles)
        elif bundles:
            self._graph([bundle.for_graph(self.rule, self.boost_weight_decay) for bundle in bundles])

    def _run_blocks(self, bundles: Sequence[Bundle]) -> None:
        scratch = Scratch()
        for bundle in bundles:
            numbers = self.rule.at(bundle.group, bundle.time, self.boost_weight_decay)
            for job in bundle.jobs:
                assert job.boost is not None  # no others are bundled
                kappa = job.boost.kappa
                if has_boosted(numbers, kappa, job.p, job.buffers, job.mask):
                    continue
                read = [job.g, *job.buffers] + ([] if job.mask is None else [job.mask])
                count = len(job.buffers)
                vectors = flat_together([job.p], read)
                if has_boosted(numbers, kappa, vectors[0], *_state(vectors, count)):
                    continue
                for block in blocks(*vectors):
                    buffers, mask = _state(block, count)
                    boost_from_state(numbers, kappa, block[0], block[1], buffers, mask, scratch)


def _state(tensors: Sequence[Tensor], buffers: int) -> tuple[tuple[Tensor, ...], Tensor | None]:
    """(buffers, mask) from p, g, that many buffers, and a mask if there is one."""
    rest = tensors[2 + buffers :]
    return tuple(tensors[2 : 2 + buffers]), rest[0] if rest else None


def boost_from_state(
    numbers: Numbers,
    kappa: Number,
    p: Tensor,
    g: Tensor,
    buffers: tuple[Tensor, ...],
    mask: Tensor | None,
    scratch: Scratch | None = None,
) -> None:
    """p ← p + κ n ⊙ Δ, in single precision at least, after the base's step to p = θ + Δ."""
    new = wide(p)
    direction, size = numbers.displacement(new, wide(g), tuple(map(wide, buffers)))
    if mask is None:
        add_scaled_(new, direction, size * kappa)
    else:
        flat = mask.to(new.dtype) if scratch is None else scratch.like(new).copy_(mask)
        add_product_(new, direction, flat, size * kappa)
    if new is not p:
        p.copy_(new)


def _boost_graph(bundles: Sequence[GraphInput]) -> None:
    for numbers, kappa, jobs in bundles:
        assert kappa is not None  # no others are bundled
        for p, g, buffers, mask, _ in jobs:
            boost_from_state(numbers, kappa, p, g, buffers, mask)
