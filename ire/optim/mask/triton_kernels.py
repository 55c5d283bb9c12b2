"""Ranking on a GPU in Triton: counts of digits, counts of ties, and the mask, over all tensors in one launch each.

Magnitudes of 16 and 32 bits are ranked by their bits in single precision, which hold all of them exactly.
"""

import triton
import triton.language as tl

BLOCK = 4096
"""Elements of a tensor that are looked at together."""


@triton.jit
def digit_kernel(
    table,
    lengths,
    owners,
    starts,
    blocks,
    found,
    counts,
    tally,
    SHIFT: tl.constexpr,
    WIDTH: tl.constexpr,
    KIND: tl.constexpr,
    ALIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
    BINS: tl.constexpr,
    LEADING: tl.constexpr,
):
    """Add to `counts` how often each digit comes among the keys whose leading digits are `found`.

    With the leading digit add to `tally` how many keys are zero.
    """
    prefix = tl.load(found)
    sums = tl.full([BINS], 0, tl.int32)
    zeros = tl.full([BLOCK], 0, tl.int32)
    for block in range(tl.program_id(0), blocks, tl.num_programs(0)):
        keys, inside = _keys(table, lengths, owners, starts, block, KIND, ALIGNED, BLOCK)
        if LEADING:
            zeros += (inside & (keys == 0)).to(tl.int32)
        inside = inside & ((keys >> (SHIFT + WIDTH)) == prefix)
        digits = (keys >> SHIFT) & ((1 << WIDTH) - 1)
        sums += tl.histogram(digits, BINS, mask=inside)
    bins = tl.arange(0, BINS)
    tl.atomic_add(counts + bins, sums, mask=sums > 0, sem="relaxed")
    if LEADING:
        tl.atomic_add(tally, tl.reduce(zeros, 0, _add), sem="relaxed")


@triton.jit
def tie_kernel(
    table,
    lengths,
    owners,
    starts,
    found,
    ties,
    KIND: tl.constexpr,
    ALIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """How many keys of each block equal the threshold."""
    block = tl.program_id(0)
    keys, inside = _keys(table, lengths, owners, starts, block, KIND, ALIGNED, BLOCK)
    equal = (inside & (keys == tl.load(found))).to(tl.int32)
    tl.store(ties + block, tl.reduce(equal, 0, _add))


@triton.jit
def fill_kernel(
    table,
    lengths,
    owners,
    starts,
    found,
    before,
    quota,
    tally,
    KIND: tl.constexpr,
    ALIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The mask: every key below the threshold, and of those that equal it the first `quota` in order.

    Add to `tally`, behind the zeros, the ones of the mask that was there, and those of them that stay.
    """
    block = tl.program_id(0)
    keys, inside = _keys(table, lengths, owners, starts, block, KIND, ALIGNED, BLOCK)
    threshold = tl.load(found)
    equal = (inside & (keys == threshold)).to(tl.int32)
    rank = tl.load(before + block) + tl.associative_scan(equal, 0, _add)
    taken = (keys < threshold) | ((equal > 0) & (rank <= tl.load(quota)))
    which = tl.load(owners + block).to(tl.int64)
    mask = tl.load(table + which * 3 + 1).to(tl.pointer_type(tl.uint8))
    at = tl.load(starts + block).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    if tl.load(table + which * 3 + 2) > 0:
        old = tl.load(mask + at, inside, other=0).to(tl.int32)
        tl.atomic_add(tally + 1, tl.reduce(old, 0, _add), sem="relaxed")
        tl.atomic_add(tally + 2, tl.reduce(old * taken.to(tl.int32), 0, _add), sem="relaxed")
    tl.store(mask + at, taken.to(tl.uint8), inside)


@triton.jit
def _keys(
    table, lengths, owners, starts, block, KIND: tl.constexpr, ALIGNED: tl.constexpr, BLOCK: tl.constexpr
):
    """The bits of the magnitudes of one block in single precision, and which of them are elements."""
    which = tl.load(owners + block).to(tl.int64)
    scores = tl.load(table + which * 3).to(tl.pointer_type(KIND))
    if ALIGNED:
        scores = tl.multiple_of(scores, 16)
    at = tl.load(starts + block).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < tl.load(lengths + which)
    values = tl.load(scores + at, inside, other=0.0).to(tl.float32)
    return values.to(tl.int32, bitcast=True) & 0x7FFFFFFF, inside


@triton.jit
def _add(a, b):
    return a + b
