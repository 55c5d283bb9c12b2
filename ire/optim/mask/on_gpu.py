"""Builds the mask on a GPU, which finds the threshold itself; the host synchronises twice.

First it reads whether all scores are finite, before anything is overwritten; then how much of the old mask remains. The
rule and the result are those of `flattest`: exactly `count` ones, ties in the order of the parameters and, within a
parameter, of memory.

A sample yields two keys between which the threshold very probably lies. One reading counts what is below and collects
the few between; these are sorted; another reading writes the mask: 10 bytes a coordinate in single precision, and a
quarter of one of scratch. If too many lie between, as when most are equal, all are counted digit by digit.

Its kernels are imported when used: not every machine has Triton.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ire.optim.tensors.blocks import memory_order
from ire.optim.tensors.tiles import (
    KINDS,
    Tiles,
    copy_ahead,
    has_triton,
    on_device_of,
    tiles,
    to_device,
    triton_type,
)
from ire.optim.tensors.typed import numbers

DIGITS = ((24, 7), (18, 6), (12, 6), (6, 6), (0, 6))
"""(shift, width) in bits of a magnitude in single precision, leading digit first."""
BINS = 1 << 7
PROGRAMS = 8
"""Programs on each multiprocessor that count digits; each adds up many blocks before it updates the common table."""
STRIDE = 509
"""One value in this many is sampled; a prime, so that no column of a matrix is preferred."""
SMALLEST_SAMPLE = 1 << 12
"""The minimum sample size. If the sample would be smaller, all values are collected."""
DEVIATIONS = 4
"""Half the width of the bracket, in standard deviations of the sample's quantile."""
LARGEST_SHARE = 16
"""At most one in this many values is collected."""


def ranked_here(scores: Sequence[Tensor]) -> list[Tensor] | None:
    """The scores, if this module ranks them: all on one GPU, in at most single precision; else None.

    A sequence that computes scores is read once, and its first score once more.
    """
    if not (len(scores) and scores[0].device.type == "cuda" and has_triton()):
        return None
    held = list(scores)
    device = held[0].device
    return held if all(score.device == device and score.dtype in KINDS for score in held) else None


@dataclass(frozen=True)
class Lot:
    """The scores of one type, with their masks: what one launch works on."""

    kind: torch.dtype
    tiles: Tiles
    table: Tensor
    """(tensors, 4) int64: addresses of scores and mask, whether a mask was there before, first place in the sample."""
    lengths: tuple[int, ...]
    is_aligned: bool
    order: Tensor | None
    """(blocks,) int64: each block's place among those of all lots, in the order of the parameters; None if it is
    its place in this one."""


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """The masks, and the counts that were collected with them."""

    masks: list[Tensor] | None
    """None, with nothing overwritten, if a score is not finite or there is nothing to rank."""
    zeros: int
    """Scores that are exactly zero."""
    before: int = 0
    """Ones in the old masks."""
    kept: int = 0
    """How many of those the new masks also have."""


def flattest_on_gpu(
    scores: Sequence[Tensor],
    count: int,
    into: Sequence[Tensor | None] | None = None,
    *,
    refuses_zeros: bool = False,
) -> Ranked:
    """Like `flattest`, for coordinates on this worker only; with `refuses_zeros`, all-zero scores give no masks."""
    with on_device_of(scores[0]):
        return _ranked(scores, count, into, refuses_zeros)


def _ranked(
    scores: Sequence[Tensor], count: int, into: Sequence[Tensor | None] | None, refuses_zeros: bool
) -> Ranked:
    from ire.optim.mask.triton_kernels import BEFORE, BLOCK, KEPT, NOT_FINITE, ZEROS

    total = sum(score.numel() for score in scores)
    scores = [s if memory_order(s) is not None else s.contiguous() for s in scores]
    olds = into or [None] * len(scores)
    masks = [
        old
        if old is not None and old.stride() == score.stride() and old.device == score.device
        else torch.empty_like(score, dtype=torch.uint8)
        for score, old in zip(scores, olds, strict=True)
    ]
    lots = list(_lots(scores, masks, [old is not None for old in olds], BLOCK))
    found, few = _surveyed(lots, total, count, BLOCK)
    seen = _read(found)
    zeros = _cell(seen, ZEROS)
    if _cell(seen, NOT_FINITE) or (refuses_zeros and zeros == total):
        return Ranked(masks=None, zeros=zeros)
    _settle(lots, found, few, max(count, 1), seen, BLOCK)
    for mask, old in zip(masks, olds, strict=True):
        if old is not None and old is not mask:  # in another order of memory, or elsewhere
            mask.copy_(old)
    _fill(lots, found, BLOCK)
    torch.autograd.graph.increment_version(masks)  # copies of them are renewed by it
    seen = _read(found)
    return Ranked(masks=masks, zeros=zeros, before=_cell(seen, BEFORE), kept=_cell(seen, KEPT))


def _read(found: Tensor) -> list[int]:
    """The cells on the host, which synchronises."""
    return numbers(found)


def _cell(seen: Sequence[int], which: Any) -> int:
    """One cell of those that were read; `which` is a constant of Triton."""
    place: int = which.value
    return seen[place]


def _lots(
    scores: Sequence[Tensor], masks: Sequence[Tensor], were_there: Sequence[bool], block: int
) -> Iterator[Lot]:
    device = scores[0].device
    blocks = [-(-score.numel() // block) for score in scores]
    firsts = [0]
    for number in blocks:
        firsts.append(firsts[-1] + number)
    kinds = list(dict.fromkeys(score.dtype for score in scores))
    sampled = 0
    for kind in kinds:
        rows = [row for row, score in enumerate(scores) if score.dtype == kind]
        lengths = tuple(scores[row].numel() for row in rows)
        table: list[int] = []
        for row, length in zip(rows, lengths, strict=True):
            table += (scores[row].data_ptr(), masks[row].data_ptr(), int(were_there[row]), sampled)
            sampled += -(-length // STRIDE)
        spans = list(pairwise(firsts))
        order = [place for row in rows for place in range(*spans[row])] if len(kinds) > 1 else None
        yield Lot(
            kind,
            tiles(lengths, block, device),
            to_device(table, torch.int64, device),
            lengths,
            all(address % 16 == 0 for address in (*table[::4], *table[1::4])),
            None if order is None else to_device(order, torch.int64, device),
        )


def _surveyed(lots: Sequence[Lot], total: int, count: int, block: int) -> tuple[Tensor, Tensor]:
    """The cells of `triton_kernels` after one reading, and the keys that it collected."""
    from ire.optim.mask.triton_kernels import CELLS, bracket_kernel, sample_kernel  # pyright: ignore[reportUnknownVariableType] - Triton has no types

    device = lots[0].table.device
    number = sum(-(-length // STRIDE) for lot in lots for length in lot.lengths)
    capacity, low, high = total, -1, -1
    sample = torch.zeros(max(number, 1), dtype=torch.int32, device=device)
    if number >= SMALLEST_SAMPLE:
        for lot in lots:
            each = tuple(-(-length // STRIDE) for length in lot.lengths)
            cut = tiles(each, block, device)
            _launch(sample_kernel, lot, block, sample, cut=cut, STRIDE=STRIDE)
        sample = sample.sort().values
        capacity, rank = total // LARGEST_SHARE, max(count, 1) / total * number
        margin = DEVIATIONS * math.sqrt(rank * max(1 - rank / number, 0)) + 1
        low = math.floor(rank - margin) if rank - margin >= 1 else -1
        high = math.ceil(rank + margin) if rank + margin <= number - 1 else -1
    cells = [0, 0, 0, max(count, 1), count, low, high, capacity]
    found = to_device(cells + [0] * (CELLS - len(cells)), torch.int64, device)
    few = torch.empty(max(capacity, 1), dtype=torch.int32, device=device)
    for lot in lots:
        arguments = lot.tiles.count, sample, found, few
        _launch(bracket_kernel, lot, block, *arguments, programs=_programs(lot))
    return found, few


def _settle(lots: Sequence[Lot], found: Tensor, few: Tensor, k: int, seen: Sequence[int], block: int) -> None:
    """The `k`-th smallest key, how many are below it and how many equal to it, in the cells, which hold `seen`."""
    from ire.optim.mask.triton_kernels import BELOW, CAPACITY, INSIDE, ZEROS, settle_kernel  # pyright: ignore[reportUnknownVariableType] - Triton has no types

    below, inside, zeros, capacity = (_cell(seen, which) for which in (BELOW, INSIDE, ZEROS, CAPACITY))
    if k <= zeros:
        copy_ahead(found[:3], [0, 0, zeros])
    elif below < k <= below + inside and inside <= capacity:
        settle_kernel[(1,)](few[:inside].sort().values, found, inside, k - below - 1)
    else:
        copy_ahead(found[:3], [0, 0, 0])
        _count_digits(lots, found, block)


def _count_digits(lots: Sequence[Lot], found: Tensor, block: int) -> None:
    """The same by radix selection, entirely on the device."""
    from ire.optim.mask.triton_kernels import digit_kernel, pick_kernel  # pyright: ignore[reportUnknownVariableType] - Triton has no types

    counts = torch.zeros(len(DIGITS), BINS, dtype=torch.int64, device=found.device)
    for place, (shift, width) in enumerate(DIGITS):
        here, bins = counts[place], 1 << width
        for lot in lots:
            arguments, programs = (lot.tiles.count, found, here), _programs(lot)
            _launch(
                digit_kernel, lot, block, *arguments, programs=programs, SHIFT=shift, WIDTH=width, BINS=bins
            )
        # Triton's stubs want its own constants where Python's do
        kernel: Any = pick_kernel  # pyright: ignore[reportUnknownVariableType]
        kernel[(1,)](found, here, WIDTH=width, BINS=bins)


def _fill(lots: Sequence[Lot], found: Tensor, block: int) -> None:
    from ire.optim.mask.triton_kernels import fill_kernel, tie_kernel  # pyright: ignore[reportUnknownVariableType] - Triton has no types

    total = sum(lot.tiles.count for lot in lots)
    here = [torch.zeros(lot.tiles.count, dtype=torch.int64, device=found.device) for lot in lots]
    for lot, mine in zip(lots, here, strict=True):
        _launch(tie_kernel, lot, block, found, mine)
    ties = here[0] if len(lots) == 1 else torch.zeros(total, dtype=torch.int64, device=found.device)
    for lot, mine in zip(lots, here, strict=True):
        if lot.order is not None:
            ties[lot.order] = mine
    before = ties.cumsum(0) - ties
    for lot, mine in zip(lots, here, strict=True):
        ahead = before if lot.order is None else before[lot.order]
        _launch(fill_kernel, lot, block, found, mine, ahead)


def _launch(
    kernel: Any, lot: Lot, block: int, *arguments: object, cut: Tiles | None = None, **options: int
) -> None:
    kind = triton_type(lot.kind)
    (cut or lot.tiles).launch(
        kernel, lot.table, *arguments, KIND=kind, ALIGNED=lot.is_aligned, BLOCK=block, **options
    )


def _programs(lot: Lot) -> int:
    """As many programs as the device runs at once; each processes many blocks."""
    return min(lot.tiles.count, _multiprocessors(lot.table.device) * PROGRAMS)


def _multiprocessors(device: torch.device) -> int:
    if device.type != "cuda":
        return 1
    return torch.cuda.get_device_properties(device).multi_processor_count  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - torch's type is incomplete
