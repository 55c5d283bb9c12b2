"""Where the curvature of each coordinate comes from.

A source either wants a backward pass from the training loop (`curvature_due` becomes true, the loop
calls `update_mask`), or it computes scores by itself inside `step`. Scores are ranked by magnitude; only
their order matters, so the factor B of Wang et al. 2024, Eq. 6, and any loss scale can be left out, and
|g| does for g² (which underflows in half precision).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer

Scores = Callable[[Optimizer, Sequence[Tensor], int, int], Sequence[Tensor] | None]
"""(base, parameters, seed, number of this refresh) -> one score a parameter, or None if not known yet."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One estimator of the diagonal of the Hessian."""

    scores: Scores | None = None
    """None: the scores are the gradients of a backward pass that the training loop runs."""
    inverted: bool = False
    """Boost exactly the coordinates that would have been left alone."""


class RandomScores(Sequence[Tensor]):
    """Uniform scores, the same on all workers; drawn at each access rather than kept."""

    def __init__(self, parameters: Sequence[Tensor], seed: int, refresh: int) -> None:
        self._parameters = parameters
        self._seed = seed
        self._refresh = refresh

    def __len__(self) -> int:
        return len(self._parameters)

    def __getitem__(self, index: int) -> Tensor:
        if index >= len(self):
            raise IndexError(index)
        p = self._parameters[index]
        generator = torch.Generator(p.device).manual_seed(_mixed(self._seed, self._refresh, index))
        return torch.rand(p.shape, generator=generator, device=p.device, dtype=torch.float32)


def _mixed(*numbers: int) -> int:
    """A 63-bit seed out of several numbers, different for neighbours (the finaliser of SplitMix64)."""
    seed = 0
    for number in numbers:
        seed = (seed + number + 0x9E3779B97F4A7C15) % 2**64
        seed = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        seed = (seed ^ (seed >> 27)) * 0x94D049BB133111EB % 2**64
        seed ^= seed >> 31
    return seed >> 1


def _random(base: Optimizer, parameters: Sequence[Tensor], seed: int, refresh: int) -> Sequence[Tensor]:
    return RandomScores(parameters, seed, refresh)


SOURCES = {
    "sampled": Source(),
    "random": Source(scores=_random),
    "sharpest": Source(inverted=True),
}


def source_named(name: str) -> Source:
    """The source of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in SOURCES:
        raise ValueError(f"curvature must be one of {', '.join(SOURCES)}, got {name!r}")
    return SOURCES[name]
