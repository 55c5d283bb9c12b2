"""Where the curvature of each coordinate comes from.

A source either needs a backward pass from the training loop (`curvature_due` becomes true, the loop
calls `update_mask`), or it computes scores by itself inside `step`. Scores are ranked by magnitude; only
their order matters, so the factor B of Wang et al. 2024, Eq. 6, and any loss scale can be omitted, and
|g| replaces g² (which underflows in half precision).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from ire.optim.tensors.shards import local, part_number
from ire.optim.tensors.typed import numbers


@dataclass(frozen=True, kw_only=True)
class Refresh:
    """The refresh for which scores are computed."""

    base: Optimizer
    """The optimizer that takes the steps, inside wrappers such as Lookahead."""
    seed: int
    number: int
    """How many refreshes came before it."""
    ranking: int = 0
    """The number of the set of parameters that is ranked, counted from 0."""
    steps: int = 0
    """Steps that the base has taken inside this `IRE`."""
    waited: int = 0
    """Steps for which this refresh has been due."""


Scores = Callable[[Sequence[Tensor], Refresh], Sequence[Tensor] | None]
"""One score per parameter (for a `DTensor`, this worker's part), or None if nothing is known yet."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One estimator of the diagonal of the Hessian. Users may build their own, with any `scores`."""

    scores: Scores | None = None
    """None: the scores are the gradients of a backward pass that the training loop runs."""
    gradients: bool = True
    """Scores are gradients, to be squared before they are averaged; else they are curvatures."""
    inverted: bool = False
    """Boost exactly the coordinates that the ranking leaves out."""
    of_state: bool = False
    """Scores are of the base's state, so parameters without a gradient in the step of a refresh have some, too."""

    def __post_init__(self) -> None:
        if not (self.scores is None or callable(self.scores)):
            raise ValueError(f"scores must be a function of (parameters, refresh), got {self.scores!r}")


def _empirical(parameters: Sequence[Tensor], refresh: Refresh) -> Sequence[Tensor] | None:
    """The training gradient (after clipping, which does not change the order)."""
    return [local(p.grad) for p in parameters if p.grad is not None]  # all ranked parameters have a gradient


SECOND_MOMENTS = ("exp_avg_sq", "square_avg", "sum")
"""Names of the (averaged) squared gradient: in Adam and its variants, in RMSprop and Adadelta, in Adagrad."""


ALIKE = 1.1
"""Moments that differ less in what they have gathered are ranked as they are, which needs no copies."""
PATIENCE = 10
"""Steps for which a refresh waits until the base has a state of every parameter."""


def _second_moment(parameters: Sequence[Tensor], refresh: Refresh) -> Sequence[Tensor] | None:
    """The base's average up to the previous step; None until it has taken a step with all of the parameters.

    Raises:
        ValueError: the base keeps no such average, or keeps it in another place than torch's optimizers.
    """
    moments: list[Tensor] = []
    gathered: list[float] = []
    missing = 0
    states: list[dict[str, Any]] = [refresh.base.state.get(p, {}) for p in parameters]
    groups = {p: group for group in refresh.base.param_groups for p in group["params"]}
    for p, state, count in zip(parameters, states, _counts(states), strict=True):
        if not state or not count > 0:  # Adagrad has a state before its first step
            missing += 1
            continue
        name = next((name for name in SECOND_MOMENTS if name in state), None)
        if name is None or local(state[name]).shape != local(p).shape:  # factored, or one number per tensor
            raise ValueError(no_second_moment(refresh.base))
        moments.append(local(state[name]))
        gathered.append(_gathered(name, groups.get(p, {}), count) if "step" in state else 1.0)
        if type(moments[-1]) not in (Tensor, Parameter):  # of 8 bits, say, as torchao's
            raise ValueError(
                f"curvature='second_moment' cannot rank the compressed moments ({type(moments[-1]).__name__}) of "
                f"{type(refresh.base).__name__}; use curvature='empirical' or 'sampled' with it"
            )
    if missing and refresh.waited >= (PATIENCE if any(map(refresh.base.state.get, groups)) else 1):
        raise ValueError(
            f"curvature='second_moment' found no state of {missing} of {len(parameters)} parameters in "
            f"{type(refresh.base).__name__} after {refresh.steps} steps: it keeps none under base.state[parameter]. "
            "Use curvature='empirical' or 'sampled' with it, or another base"
        )
    if missing:
        return None
    if max(gathered) <= ALIKE * min(gathered):
        return moments
    return [moment / share for moment, share in zip(moments, gathered, strict=True)]


def _gathered(name: str, group: dict[str, Any], count: float) -> float:
    """How many squared gradients a moment holds after `count` steps: an average starts at 0, Adagrad's sum grows."""
    if name == "sum":
        return count
    decay = group["betas"][1] if "betas" in group else group.get("alpha", group.get("rho"))
    return 1 - float(decay or 0) ** count


def _counts(states: Sequence[dict[str, Any]]) -> list[float]:
    """The step count in each state, 1 where there is none; waits for a GPU once, where fused optimizers keep them."""
    found: list[Any] = [state.get("step", 1) for state in states]
    tensors = [i for i, count in enumerate(found) if isinstance(count, Tensor)]
    if tensors:
        device = found[tensors[0]].device
        together = torch.stack([found[i].reshape(()).to(device, torch.float32) for i in tensors])
        for i, count in zip(tensors, numbers(together), strict=True):
            found[i] = count
    return [float(count) for count in found]


def no_second_moment(base: Optimizer) -> str:
    return (
        f"curvature='second_moment' needs a base that averages the squared gradient of each coordinate, as Adam, AdamW "
        f"or RMSprop do, got {type(base).__name__}; use curvature='empirical' or 'sampled' with it"
    )


class RandomScores(Sequence[Tensor]):
    """Uniform scores, the same on all workers; drawn at each access rather than kept."""

    def __init__(self, parameters: Sequence[Tensor], refresh: Refresh) -> None:
        self._parameters = parameters
        self._refresh = refresh

    def __len__(self) -> int:
        return len(self._parameters)

    def __getitem__(self, index: int) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride] - no slices
        if index >= len(self):
            raise IndexError(index)
        p = self._parameters[index]
        part = local(p)
        refresh = self._refresh
        seed = mixed(refresh.seed, refresh.number, refresh.ranking, index, part_number(p))
        generator = torch.Generator(part.device).manual_seed(seed)
        return torch.rand(part.shape, generator=generator, device=part.device, dtype=torch.float32)


def mixed(*numbers: int) -> int:
    """A 63-bit seed from several numbers; neighbours give unrelated seeds (the finaliser of SplitMix64)."""
    seed = 0
    for number in numbers:
        seed = (seed + number + 0x9E3779B97F4A7C15) % 2**64
        seed = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        seed = (seed ^ (seed >> 27)) * 0x94D049BB133111EB % 2**64
        seed ^= seed >> 31
    return seed >> 1


SOURCES = {
    "sampled": Source(),
    "reuse": Source(),
    "subbatch": Source(),
    "empirical": Source(scores=_empirical),
    "second_moment": Source(scores=_second_moment, gradients=False, of_state=True),
    "random": Source(scores=RandomScores, gradients=False),
    "sharpest": Source(inverted=True),
}
"""`sampled`, `reuse` and `subbatch` differ only in what the loop runs: an extra pass over the batch, a
second backward on the training graph (`update_mask(loss)`), an extra pass over a part of the batch."""


def source_named(name: str | Source) -> Source:
    """The source of that name; a `Source` is returned as it is.

    Raises:
        ValueError: no source has that name.
    """
    if isinstance(name, Source):
        return name
    if not isinstance(name, str) or name not in SOURCES:  # pyright: ignore[reportUnnecessaryIsInstance] - callers may have no types
        raise ValueError(f"curvature must be one of {', '.join(SOURCES)}, or a Source, got {name!r}")
    return SOURCES[name]
