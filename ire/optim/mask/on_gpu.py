"""The mask on a GPU: the threshold is found there digit by digit, and the host waits twice.

Once to hear that all is finite, before anything is overwritten, and once for how much of the old mask has stayed. The
rule and the result are those of `flattest`: exactly `count` ones, ties in the order of the parameters and, inside
one, of memory. The scores are read six times (five digits, mask), and once more where some of those that equal the
threshold are left out; the mask is read and written once: 26 bytes a coordinate in single precision.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ire.optim.tensors.blocks import memory_order
from ire.optim.tensors.tiles import Tiles, has_triton, tiles, to_device

DIGITS = ((24, 7), (18, 6), (12, 6), (6, 6), (0, 6))
"""(shift, width) in bits of a magnitude in single precision, leading digit first."""
BINS = 1 << 7
PROGRAMS = 8
"""Of each multiprocessor, that count digits: each adds up many blocks before it touches the common table."""
WARPS = 8
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
    found = _threshold(lots, count, BLOCK)
    zeros, not_finite = found[5:7].tolist()  # the host waits
    if not_finite or (refuses_zeros and zeros == total):
        return Ranked(masks=None, zeros=zeros)
    for mask, old in zip(masks, olds, strict=True):
        if old is not None and old is not mask:  # in another order of memory
            mask.copy_(old)
    _fill(lots, found, BLOCK)
    before, kept = found[7:9].tolist()  # and again
    return Ranked(masks=masks, zeros=zeros, before=before, kept=kept)


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
            all(address % 16 == 0 for address in (*table[::3], *table[1::3])),
            None if order is None else to_device(order, torch.int64, device),
        )


def _threshold(lots: Sequence[Lot], count: int, block: int) -> Tensor:
    """The cells of `triton_kernels`, with the `count`-th smallest key: radix selection, all of it on the device."""
    from ire.optim.mask.triton_kernels import digit_kernel, pick_kernel

    device = lots[0].table.device
    found = to_device([0, 0, 0, max(count, 1), count, 0, 0, 0, 0], torch.int64, device)
    counts = torch.zeros(len(DIGITS), BINS, dtype=torch.int64, device=device)
    for place, (shift, width) in enumerate(DIGITS):
        here, bins = counts[place], 1 << width
        for lot in lots:
            programs = min(lot.tiles.count, _multiprocessors(device) * PROGRAMS)
            options = {"SHIFT": shift, "WIDTH": width, "BINS": bins, "LEADING": not place, "num_warps": WARPS}
            _launch(digit_kernel, programs, lot, block, (lot.tiles.count, found, here), **options)
        pick_kernel[(1,)](found, here, WIDTH=width, BINS=bins)
    return found


def _fill(lots: Sequence[Lot], found: Tensor, block: int) -> None:
    from ire.optim.mask.triton_kernels import fill_kernel, tie_kernel

    total = sum(lot.tiles.count for lot in lots)
    here = [torch.zeros(lot.tiles.count, dtype=torch.int64, device=found.device) for lot in lots]
    for lot, mine in zip(lots, here, strict=True):
        _launch(tie_kernel, lot.tiles.count, lot, block, (found, mine))
    ties = here[0] if len(lots) == 1 else torch.zeros(total, dtype=torch.int64, device=found.device)
    for lot, mine in zip(lots, here, strict=True):
        if lot.order is not None:
            ties[lot.order] = mine
    before = ties.cumsum(0) - ties
    for lot, mine in zip(lots, here, strict=True):
        ahead = before if lot.order is None else before[lot.order]
        _launch(fill_kernel, lot.tiles.count, lot, block, (found, mine, ahead))


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
