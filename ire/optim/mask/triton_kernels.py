"""Ranking on a GPU in Triton: counts of digits, counts of ties, and the mask, over all tensors in one launch each.

Magnitudes of 16 and 32 bits are ranked by their bits in single precision, which hold all of them exactly. A digit has
few bits: Triton's histogram costs each element a population count for every 32 bins.
"""

import triton
import triton.language as tl

BLOCK = 4096
"""Elements of a tensor that are looked at together."""
INFINITY = tl.constexpr(0x7F800000)
"""The key from which on a magnitude is not finite."""

# The cells of `found`, int64: the threshold as far as it is known, how many keys are below it and equal to it, which
# smallest key it is and how many coordinates are wanted, and what is counted on the way.
KEY = tl.constexpr(0)
BELOW = tl.constexpr(1)
EQUAL = tl.constexpr(2)
RANK = tl.constexpr(3)
COUNT = tl.constexpr(4)
ZEROS = tl.constexpr(5)
NOT_FINITE = tl.constexpr(6)
BEFORE = tl.constexpr(7)
KEPT = tl.constexpr(8)


@triton.jit
def digit_kernel(
    table,
    lengths,
    owners,
    starts,
    blocks,
    found,
    counts,
    SHIFT: tl.constexpr,
    WIDTH: tl.constexpr,
    KIND: tl.constexpr,
    ALIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
    BINS: tl.constexpr,
    LEADING: tl.constexpr,
):
    """Add to `counts` how often each digit comes among the keys whose leading digits are those of `found`.

    With the leading digit add to `found` how many keys are zero, and how many are not finite.
    """
    prefix = tl.load(found + KEY).to(tl.int32)
    sums = tl.full([BINS], 0, tl.int32)
    special = tl.full([BLOCK], 0, tl.int32)  # zeros, and what is not finite from bit 16 on
    for block in range(tl.program_id(0), blocks, tl.num_programs(0)):
        keys, inside = _keys(table, lengths, owners, starts, block, KIND, ALIGNED, BLOCK)
        if LEADING:
            special += (inside & (keys == 0)).to(tl.int32) + ((keys >= INFINITY).to(tl.int32) << 16)
        inside = inside & ((keys >> (SHIFT + WIDTH)) == prefix)
        digits = (keys >> SHIFT) & ((1 << WIDTH) - 1)
        sums += tl.histogram(digits, BINS, mask=inside)
    bins = tl.arange(0, BINS)
    tl.atomic_add(counts + bins, sums.to(tl.int64), mask=sums > 0, sem="relaxed")
    if LEADING:
        zeros, others = tl.reduce(special & 0xFFFF, 0, _add), tl.reduce(special >> 16, 0, _add)
        tl.atomic_add(found + ZEROS, zeros.to(tl.int64), sem="relaxed")
        tl.atomic_add(found + NOT_FINITE, others.to(tl.int64), sem="relaxed")


@triton.jit
def pick_kernel(found, counts, WIDTH: tl.constexpr, BINS: tl.constexpr):
    """The next digit of the threshold from the counts of that digit; how many keys are below it, and equal to it."""
    bins = tl.arange(0, BINS)
    numbers = tl.load(counts + bins)
    below = tl.load(found + BELOW)
    missing = tl.load(found + RANK) - below
    digit = tl.reduce((tl.associative_scan(numbers, 0, _add) < missing).to(tl.int64), 0, _add)
    digit = tl.minimum(digit, BINS - 1)
    tl.store(found + KEY, (tl.load(found + KEY) << WIDTH) | digit)
    tl.store(found + BELOW, below + tl.reduce(tl.where(bins < digit, numbers, 0), 0, _add))
    tl.store(found + EQUAL, tl.reduce(tl.where(bins == digit, numbers, 0), 0, _add))


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
    """How many keys of each block equal the threshold, unless all of them are taken: then `ties` stays zero."""
    if tl.load(found + EQUAL) > tl.load(found + COUNT) - tl.load(found + BELOW):
        block = tl.program_id(0)
        keys, inside = _keys(table, lengths, owners, starts, block, KIND, ALIGNED, BLOCK)
        equal = (inside & (keys == tl.load(found + KEY).to(tl.int32))).to(tl.int32)
        tl.store(ties + block, tl.reduce(equal, 0, _add))


@triton.jit
def fill_kernel(
    table,
    lengths,
    owners,
    starts,
    found,
    ties,
    before,
    KIND: tl.constexpr,
    ALIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The mask: every key below the threshold, and of those that equal it the first ones, as many as are missing.

    In most blocks either all of these are taken or none, and nothing needs to be put in order. Add to `found` the
    ones of the mask that was there, and those of them that stay.
    """
    block = tl.program_id(0)
    keys, inside = _keys(table, lengths, owners, starts, block, KIND, ALIGNED, BLOCK)
    threshold = tl.load(found + KEY).to(tl.int32)
    quota = tl.load(found + COUNT) - tl.load(found + BELOW)
    first, mine = tl.load(before + block), tl.load(ties + block)
    has_room = first + mine <= quota
    taken = (keys < threshold + has_room.to(tl.int32)).to(tl.int32)
    if (first < quota) & (first + mine > quota):
        equal = (inside & (keys == threshold)).to(tl.int32)
        rank = first + tl.associative_scan(equal, 0, _add)
        taken = taken | (equal & (rank <= quota).to(tl.int32))
    which = tl.load(owners + block).to(tl.int64)
    mask = tl.load(table + which * 3 + 1).to(tl.pointer_type(tl.uint8))
    if ALIGNED:
        mask = tl.multiple_of(mask, 16)
    at = tl.load(starts + block).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    if tl.load(table + which * 3 + 2) > 0:
        old = tl.load(mask + at, inside, other=0).to(tl.int32)
        tl.atomic_add(found + BEFORE, tl.reduce(old, 0, _add).to(tl.int64), sem="relaxed")
        tl.atomic_add(found + KEPT, tl.reduce(old * taken, 0, _add).to(tl.int64), sem="relaxed")
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
    start = tl.load(starts + block).to(tl.int64) * BLOCK
    length = tl.load(lengths + which)
    at = start + tl.arange(0, BLOCK)
    inside = at < length
    if start + BLOCK <= length:  # without a condition on each element loads are wide
        values = tl.load(scores + at).to(tl.float32)
    else:
        values = tl.load(scores + at, inside, other=0.0).to(tl.float32)
    return values.to(tl.int32, bitcast=True) & 0x7FFFFFFF, inside


@triton.jit
def _add(a, b):
    return a + b
