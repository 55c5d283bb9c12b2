"""The mask on a GPU: the threshold is found there digit by digit, and the host waits twice.

Once to hear that all is finite, before anything is overwritten, and once for how much of the old mask has stayed. The
rule and the result are those of `flattest`: exactly `count` ones, ties in the order of the parameters and, inside
one, of memory. The scores are read five times (three digits, ties, mask), the mask once, and written once: 22 bytes a
coordinate in single precision.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ire.optim.tensors.blocks import memory_order
from ire.optim.tensors.tiles import Tiles, has_triton, tiles, to_device

DIGITS = ((20, 11), (10, 10), (0, 10))
"""(shift, width) in bits of a magnitude in single precision, leading digit first."""
BINS = 1 << 11
INFINITY = 0x7F800000 >> 20
"""The leading digit from which on a magnitude is not finite."""
PROGRAMS = 4
"""Of each multiprocessor, that count digits: each adds up many blocks before it touches the common table."""
KINDS = (torch.float32, torch.bfloat16, torch.float16)


def ranks_here(scores: Sequence[Tensor]) -> bool:
    """Whether the scores are for this way: on one GPU, in at most single precision."""
    first = scores[0] if len(scores) else None
    return first is not None and first.device.type == "cuda" and first.dtype in KINDS and has_triton()


@dataclass(frozen=True)
class Lot:
    """The scores of one type, with their masks: what one launch works on."""

    kind: torch.dtype
    tiles: Tiles
    table: Tensor
    """(tensors, 3) int64: addresses of scores and mask, and whether a mask was there before."""
    is_aligned: bool
    order: Tensor | None
    """(blocks,) int64: each block's place among those of all lots, in the order of the parameters; None if it is
    its place in this one."""


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """The masks, and what was seen while they were made."""

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
    """As `flattest`, for coordinates that are all here; with `refuses_zeros` scores that are all zero give no masks."""
    from ire.optim.mask.triton_kernels import BLOCK

    total = sum(score.numel() for score in scores)
    scores = [s if memory_order(s) is not None else s.contiguous() for s in scores]
    olds = into or [None] * len(scores)
    masks = [
        old
        if old is not None and old.stride() == score.stride()
        else torch.empty_like(score, dtype=torch.uint8)
        for score, old in zip(scores, olds, strict=True)
    ]
    lots = list(_lots(scores, masks, [old is not None for old in olds], BLOCK))
    tally = torch.zeros(3, dtype=torch.int32, device=scores[0].device)
    found = _threshold(lots, max(count, 1), BLOCK, tally)
    is_finite, zeros = torch.cat([found.is_finite.int(), tally[:1]]).tolist()  # the host waits
    if not is_finite or (refuses_zeros and zeros == total):
        return Ranked(masks=None, zeros=zeros)
    for mask, old in zip(masks, olds, strict=True):
        if old is not None and old is not mask:  # in another order of memory
            mask.copy_(old)
    _fill(lots, found, count, BLOCK, tally)
    _, before, kept = tally.tolist()  # and again
    return Ranked(masks=masks, zeros=zeros, before=before, kept=kept)


@dataclass(frozen=True)
class Found:
    """The `count`-th smallest key, on the device; all (1,)."""

    key: Tensor
    below: Tensor
    """How many keys are smaller."""
    is_finite: Tensor


def _lots(
    scores: Sequence[Tensor], masks: Sequence[Tensor], were_there: Sequence[bool], block: int
) -> Iterator[Lot]:
    device = scores[0].device
    blocks = [-(-score.numel() // block) for score in scores]
    firsts = [0]
    for number in blocks:
        firsts.append(firsts[-1] + number)
    kinds = list(dict.fromkeys(score.dtype for score in scores))
    for kind in kinds:
        rows = [row for row, score in enumerate(scores) if score.dtype == kind]
        table = [x for r in rows for x in (scores[r].data_ptr(), masks[r].data_ptr(), int(were_there[r]))]
        spans = list(pairwise(firsts))
        order = [place for row in rows for place in range(*spans[row])] if len(kinds) > 1 else None
        yield Lot(
            kind,
            tiles(tuple(scores[row].numel() for row in rows), block, device),
            to_device(table, torch.int64, device),
            all(address % 16 == 0 for address in table[::3]),
            None if order is None else to_device(order, torch.int64, device),
        )


def _threshold(lots: Sequence[Lot], k: int, block: int, tally: Tensor) -> Found:
    """Radix selection; what is known so far stays on the device. Adds the zeros to `tally`."""
    from ire.optim.mask.triton_kernels import digit_kernel

    device = lots[0].table.device
    key = torch.zeros(1, dtype=torch.int32, device=device)
    below = torch.zeros(1, dtype=torch.int64, device=device)
    is_finite = None
    for shift, width in DIGITS:
        counts = torch.zeros(BINS, dtype=torch.int32, device=device)
        for lot in lots:
            programs = min(lot.tiles.count, _multiprocessors(device) * PROGRAMS)
            options = {"SHIFT": shift, "WIDTH": width, "BINS": BINS, "LEADING": is_finite is None}
            _launch(digit_kernel, programs, lot, block, (lot.tiles.count, key, counts, tally), **options)
        if is_finite is None:
            is_finite = (counts[INFINITY:].sum() == 0).reshape(1)
        cumulative = counts.cumsum(0)
        digit = torch.searchsorted(cumulative, k - below).clamp_(max=BINS - 1)
        below = below + cumulative[digit] - counts[digit]
        key = ((key << width) | digit).int()
    return Found(key, below, is_finite)


def _fill(lots: Sequence[Lot], found: Found, count: int, block: int, tally: Tensor) -> None:
    from ire.optim.mask.triton_kernels import fill_kernel, tie_kernel

    device = found.key.device
    total = sum(lot.tiles.count for lot in lots)
    ties = torch.zeros(total, dtype=torch.int32, device=device)
    here = [torch.empty(lot.tiles.count, dtype=torch.int32, device=device) for lot in lots]
    for lot, mine in zip(lots, here, strict=True):
        _launch(tie_kernel, lot.tiles.count, lot, block, (found.key, mine))
        ties[slice(None) if lot.order is None else lot.order] = mine
    before = ties.cumsum(0) - ties
    quota = count - found.below
    for lot in lots:
        ahead = before if lot.order is None else before[lot.order]
        _launch(fill_kernel, lot.tiles.count, lot, block, (found.key, ahead, quota, tally))


def _launch(kernel: Callable, programs: int, lot: Lot, block: int, arguments: tuple, **options: int) -> None:
    import triton.language as tl

    if not programs:
        return
    kinds = {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}
    t = lot.tiles
    options |= {"KIND": kinds[lot.kind], "ALIGNED": lot.is_aligned, "BLOCK": block}
    kernel[(programs,)](lot.table, t.lengths, t.owners, t.starts, *arguments, **options)


def _multiprocessors(device: torch.device) -> int:
    if device.type != "cuda":
        return 1
    return torch.cuda.get_device_properties(device).multi_processor_count
