"""Ranking on a GPU in Triton: counts of digits, counts of ties, and the mask, over all tensors in one launch each.

Magnitudes of 16 and 32 bits are ranked by their bits in single precision, which hold all of them exactly. A digit has
few bits: Triton's histogram costs each element a population count for every 32 bins.
"""

# Triton compiles these functions: its language has no types, so this file is not strict, and its stubs want its own
# constants where the language takes Python's.
# pyright: standard, reportArgumentType=false, reportOperatorIssue=false

import triton
import triton.language as tl

BLOCK = 4096
"""Elements of one block."""
INFINITY = tl.constexpr(0x7F800000)
"""The first key of a magnitude that is not finite."""

LARGEST = tl.constexpr(0x7F7FFFFF)
"""The key of the largest finite magnitude."""

# The cells of `found`, int64: the threshold, how many keys are below it and equal to it, which smallest key it is and
# how many coordinates are wanted; where in the sample the ends of the bracket are (-1: nowhere), how many keys may be
# collected and how many lie in it; and what is counted on the way.
KEY = tl.constexpr(0)
BELOW = tl.constexpr(1)
EQUAL = tl.constexpr(2)
RANK = tl.constexpr(3)
COUNT = tl.constexpr(4)
LOW_AT = tl.constexpr(5)
HIGH_AT = tl.constexpr(6)
CAPACITY = tl.constexpr(7)
INSIDE = tl.constexpr(8)
ZEROS = tl.constexpr(9)
NOT_FINITE = tl.constexpr(10)
BEFORE = tl.constexpr(11)
KEPT = tl.constexpr(12)
CELLS = 13
COLUMNS = tl.constexpr(4)
"""Columns of the table, one row per tensor: addresses of scores and mask, whether there was a mask, first place in the
sample."""


@triton.jit
def sample_kernel(
    table,
    lengths,
    owners,
    starts,
    sample,
    KIND: tl.constexpr,
    ALIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
    STRIDE: tl.constexpr,
):
    """The keys of one value in `STRIDE`; the tiles are those of the sample."""
    block = tl.program_id(0)
    which = tl.load(owners + block).to(tl.int64)
    row = table + which * COLUMNS
    at = tl.load(starts + block).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < tl.load(lengths + which)
    scores = tl.load(row).to(tl.pointer_type(KIND))
    values = tl.load(scores + at * STRIDE, inside, other=0.0).to(tl.float32)
    tl.store(sample + tl.load(row + 3) + at, values.to(tl.int32, bitcast=True) & 0x7FFFFFFF, inside)


@triton.jit
def bracket_kernel(
    table,
    lengths,
    owners,
    starts,
    blocks,
    sample,
    found,
    few,
    KIND: tl.constexpr,
    ALIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Count the keys below the bracket that the sorted `sample` gives, and collect those in it, in any order.

    Also count the keys that are zero and those that are not finite.
    """
    low_at, high_at, capacity = tl.load(found + LOW_AT), tl.load(found + HIGH_AT), tl.load(found + CAPACITY)
    low = tl.load(sample + low_at, low_at >= 0, other=0)
    high = tl.load(sample + high_at, high_at >= 0, other=LARGEST)
    below = tl.full([BLOCK], 0, tl.int32)
    special = tl.full([BLOCK], 0, tl.int32)  # zeros, and what is not finite from bit 16 on
    for block in range(tl.program_id(0), blocks, tl.num_programs(0)):
        keys, inside = _keys(table, lengths, owners, starts, block, KIND, ALIGNED, BLOCK)
        below += (inside & (keys < low)).to(tl.int32)
        special += (inside & (keys == 0)).to(tl.int32) + ((keys >= INFINITY).to(tl.int32) << 16)
        mine = (inside & (keys >= low) & (keys <= high)).to(tl.int32)
        number = tl.reduce(mine, 0, _add)
        if number > 0:
            first = tl.atomic_add(found + INSIDE, number.to(tl.int64), sem="relaxed")
            at = first + tl.associative_scan(mine, 0, _add) - 1
            tl.store(few + at, keys, (mine > 0) & (at < capacity))
    zeros, others = tl.reduce(special & 0xFFFF, 0, _add), tl.reduce(special >> 16, 0, _add)
    tl.atomic_add(found + BELOW, tl.reduce(below, 0, _add).to(tl.int64), sem="relaxed")
    tl.atomic_add(found + ZEROS, zeros.to(tl.int64), sem="relaxed")
    tl.atomic_add(found + NOT_FINITE, others.to(tl.int64), sem="relaxed")


@triton.jit(do_not_specialize=["number", "place"])
def settle_kernel(few, found, number, place):
    """The threshold is the key at `place` of the sorted `few`: how many keys are below it, and equal to it."""
    key = tl.load(few + place)
    first, end = place * 0, place  # the first that is not smaller is in [first, end]
    for _ in range(32):
        middle = (first + end) // 2
        is_smaller = tl.load(few + middle) < key
        first = tl.where(is_smaller & (first < end), middle + 1, first)
        end = tl.where(is_smaller, end, middle)
    begin, last = place + 0, number - 1  # the last that is not larger
    for _ in range(32):
        middle = (begin + last + 1) // 2
        is_larger = tl.load(few + middle) > key
        last = tl.where(is_larger & (begin < last), middle - 1, last)
        begin = tl.where(is_larger, begin, middle)
    tl.store(found + KEY, key.to(tl.int64))
    tl.store(found + BELOW, tl.load(found + BELOW) + first)
    tl.store(found + EQUAL, (last - first + 1).to(tl.int64))


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
):
    """Add to `counts` how often each digit occurs among the keys whose leading digits are those of `found`."""
    prefix = tl.load(found + KEY).to(tl.int32)
    sums = tl.full([BINS], 0, tl.int32)
    for block in range(tl.program_id(0), blocks, tl.num_programs(0)):
        keys, inside = _keys(table, lengths, owners, starts, block, KIND, ALIGNED, BLOCK)
        inside = inside & ((keys >> (SHIFT + WIDTH)) == prefix)
        digits = (keys >> SHIFT) & ((1 << WIDTH) - 1)
        sums += tl.histogram(digits, BINS, mask=inside)
    bins = tl.arange(0, BINS)
    tl.atomic_add(counts + bins, sums.to(tl.int64), mask=sums > 0, sem="relaxed")


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
    """Write the mask: every key below the threshold, and the first of those that equal it, up to the count.

    Most blocks take all of the equal ones or none and need no scan. Add to `found` the ones of the previous mask,
    and how many of them remain.
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
    mask = tl.load(table + which * COLUMNS + 1).to(tl.pointer_type(tl.uint8))
    if ALIGNED:
        mask = tl.multiple_of(mask, 16)
    at = tl.load(starts + block).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    if tl.load(table + which * COLUMNS + 2) > 0:
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
    scores = tl.load(table + which * COLUMNS).to(tl.pointer_type(KIND))
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
