"""Refreshes the mask: ranks the known curvature, or leaves everything unchanged."""

import math
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ire.optim.curvature.average import average_in
from ire.optim.curvature.sources import RandomScores, Source
from ire.optim.mask.flattest import Tally, ZeroCurvature, flattest
from ire.optim.mask.keys import common_keys
from ire.optim.tensors.shards import Alone, Spread, local, workers_of
from ire.optim.tensors.typed import numbers
from ire.optim.wrapping.memory import Memory


def refreshed(
    memory: Memory,
    sets: Sequence[tuple[list[Tensor], float]],
    scores: Callable[[Sequence[Tensor], int], Sequence[Tensor] | None],
    source: Source,
    ema: float,
) -> None:
    """Give `memory` new masks, one ranking for each set of parameters with its γ; `scores` is given the
    parameters and the number of their set.

    A set with a score that is not finite, or with scores that are all zero, keeps its masks, and the refresh counts
    as skipped. If the source has no scores yet, the mask is unchanged and the refresh stays due.

    Raises:
        ValueError: scores that cannot be ranked; `memory` is unchanged.
    """
    prepared: list[tuple[list[Tensor], float, Sequence[Tensor], Alone | Spread]] = []
    for number, (parameters, gamma) in enumerate(sets):
        if not any(p.numel() for p in parameters):
            continue  # nothing to rank: empty groups, empty parameters
        found = scores(parameters, number)
        if found is None:
            return
        prepared.append((parameters, gamma, _checked(parameters, found), workers_of(parameters)))
    if not ema:
        memory.averages.clear()  # of an earlier `ema`: it would be out of date when one is kept again
    masks: dict[Tensor, Tensor] = {}
    skipped, tally = False, Tally()
    for parameters, gamma, found, workers in prepared:
        old = [memory.masks.get(p) for p in parameters]
        if ema:
            found = average_in(memory.averages, parameters, found, ema, source.gradients, workers)
        count = math.floor(gamma * sum(p.numel() for p in parameters))
        if source.inverted and found is not None:
            old = [_opposite(mask) for mask in old]
        try:
            new = None if found is None else flattest(found, count, parameters, workers, old, tally)
        except ZeroCurvature:
            new = None
            warnings.warn(
                f"the curvature of all {sum(p.numel() for p in parameters)} ranked coordinates is exactly zero, so "
                "none is flatter than another: the mask stays as it was. Is the curvature loss the right one (of a "
                "single logit: likelihood='bernoulli'), and does its gradient underflow in half precision?",
                stacklevel=2,
            )
        skipped |= new is None
        new = old if new is None else new
        if source.inverted and found is not None:
            new = [_opposite(mask) for mask in new]
        masks |= {p: mask for p, mask in zip(parameters, new, strict=True) if mask is not None}
    memory.masks = masks
    if tally.ranked:
        memory.zeros = tally.zeros / tally.ranked
        memory.overlap = tally.kept / tally.before if tally.before else None
    memory.skipped += skipped
    memory.refreshes += 1
    memory.refreshed_at = memory.steps


def _opposite(mask: Tensor | None) -> Tensor | None:
    """The mask of the other coordinates, in place."""
    return None if mask is None else mask.bitwise_xor_(1)


def _checked(parameters: Sequence[Tensor], scores: Sequence[Tensor]) -> Sequence[Tensor]:
    """Scores as this worker's parts; a lazy sequence is returned as it is."""
    if isinstance(scores, RandomScores):
        return scores
    is_right = isinstance(scores, Sequence) and all(isinstance(score, Tensor) for score in scores)  # pyright: ignore[reportUnnecessaryIsInstance] - a user's source gave them
    if not is_right or len(scores) != len(parameters):
        raise ValueError(
            f"a source must give a list of one tensor a parameter, {len(parameters)} here, got {scores!r}"[
                :300
            ]
        )
    parts = [local(score) for score in scores]
    for p, part in zip(parameters, parts, strict=True):
        if part.layout != torch.strided:
            raise ValueError("IRE cannot rank sparse gradients; build the embedding with sparse=False")
        if part.shape != local(p).shape:
            raise ValueError(
                f"a score must have the shape of its parameter, {tuple(local(p).shape)}, "
                f"got {tuple(part.shape)}"
            )
    common_keys(part.dtype for part in parts)
    return parts


def fractions(memory: Memory) -> dict[Tensor, float]:
    """The share of ones in each mask; waits for a GPU once."""
    counts = [mask.sum(dtype=torch.int64) for mask in memory.masks.values()]
    ones: list[int] = numbers(torch.stack([count.to(counts[0].device) for count in counts])) if counts else []
    return {p: n / max(mask.numel(), 1) for (p, mask), n in zip(memory.masks.items(), ones, strict=True)}
