"""The boosted step of all parameters in one launch: AdamW, Adam and SGD, in Triton.

One program works on one block of one tensor. Tensors may be anywhere in memory, so their addresses come in a table; the
numbers of the step also come from device memory, so that a captured graph of the launch can be replayed with
new ones. AdamW moves 28 bytes per parameter in single precision, and the mask adds one. Arithmetic is in single
precision.

`ALIGNED` promises that all addresses are multiples of 16: only then does the compiler read and write four
numbers at a time (`ld.global.v4`), and only in blocks that are full.
"""

# Triton compiles these functions: its language has no types, so this file is not strict, and its stubs want its own
# constants where the language takes Python's.
# pyright: standard, reportArgumentType=false, reportOperatorIssue=false

import triton
import triton.language as tl

BLOCK = 4096
"""Elements of one program."""
COLUMNS = 6
"""Columns of the table: addresses of p, g, two buffers and the mask (0 means none), and the row of its numbers."""
NUMBERS = 9
"""Numbers in a row; the code that reads them gives their names."""


@triton.jit
def adam_kernel(
    table,
    lengths,
    owners,
    starts,
    numbers,
    P: tl.constexpr,
    G: tl.constexpr,
    B: tl.constexpr,
    ALIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    which = tl.load(owners + tl.program_id(0)).to(tl.int64)
    start = tl.load(starts + tl.program_id(0)).to(tl.int64) * BLOCK
    length = tl.load(lengths + which)
    row = table + which * 6
    at = start + tl.arange(0, BLOCK)
    if start + BLOCK <= length:  # without a condition on each element loads are wide
        _adam_block(row, numbers, at, at >= 0, False, P, G, B, ALIGNED)
    else:
        _adam_block(row, numbers, at, at < length, True, P, G, B, ALIGNED)


@triton.jit
def _adam_block(
    row,
    numbers,
    at,
    inside,
    PARTIAL: tl.constexpr,
    P: tl.constexpr,
    G: tl.constexpr,
    B: tl.constexpr,
    ALIGNED: tl.constexpr,
):
    own = numbers + tl.load(row + 5) * 9
    fresh1, beta2, fresh2 = tl.load(own), tl.load(own + 1), tl.load(own + 2)
    size, eps, pull = tl.load(own + 3), tl.load(own + 4), tl.load(own + 5)
    kept, coupled, kappa = tl.load(own + 6), tl.load(own + 7), tl.load(own + 8)
    p_, g_ = _address(row, P, ALIGNED) + at, _address(row + 1, G, ALIGNED) + at
    m_, v_ = _address(row + 2, B, ALIGNED) + at, _address(row + 3, B, ALIGNED) + at
    p, g = _read(p_, inside, PARTIAL), _read(g_, inside, PARTIAL)
    m, v = _read(m_, inside, PARTIAL), _read(v_, inside, PARTIAL)
    factor = _factor(row, kappa, at, inside, PARTIAL, ALIGNED)
    g += coupled * p
    m += (g - m) * fresh1
    v = v * beta2 + g * g * fresh2
    direction = m / (tl.sqrt(v) + eps) + pull * p
    _write(p_, p * kept - size * factor * direction, inside, PARTIAL)
    _write(m_, m, inside, PARTIAL)
    _write(v_, v, inside, PARTIAL)


@triton.jit
def sgd_kernel(
    table,
    lengths,
    owners,
    starts,
    numbers,
    P: tl.constexpr,
    G: tl.constexpr,
    B: tl.constexpr,
    ALIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
    MOMENTUM: tl.constexpr,
    NESTEROV: tl.constexpr,
):
    which = tl.load(owners + tl.program_id(0)).to(tl.int64)
    start = tl.load(starts + tl.program_id(0)).to(tl.int64) * BLOCK
    length = tl.load(lengths + which)
    row = table + which * 6
    at = start + tl.arange(0, BLOCK)
    if start + BLOCK <= length:
        _sgd_block(row, numbers, at, at >= 0, False, P, G, B, ALIGNED, MOMENTUM, NESTEROV)
    else:
        _sgd_block(row, numbers, at, at < length, True, P, G, B, ALIGNED, MOMENTUM, NESTEROV)


@triton.jit
def _sgd_block(
    row,
    numbers,
    at,
    inside,
    PARTIAL: tl.constexpr,
    P: tl.constexpr,
    G: tl.constexpr,
    B: tl.constexpr,
    ALIGNED: tl.constexpr,
    MOMENTUM: tl.constexpr,
    NESTEROV: tl.constexpr,
):
    own = numbers + tl.load(row + 5) * 9
    lr, coupled, momentum = tl.load(own), tl.load(own + 1), tl.load(own + 2)
    fresh, kappa = tl.load(own + 3), tl.load(own + 8)
    p_, g_ = _address(row, P, ALIGNED) + at, _address(row + 1, G, ALIGNED) + at
    p, g = _read(p_, inside, PARTIAL), _read(g_, inside, PARTIAL)
    factor = _factor(row, kappa, at, inside, PARTIAL, ALIGNED)
    g += coupled * p
    if MOMENTUM:
        b_ = _address(row + 2, B, ALIGNED) + at
        b = _read(b_, inside, PARTIAL) * momentum + g * fresh
        _write(b_, b, inside, PARTIAL)
        g = g + momentum * b if NESTEROV else b
    _write(p_, p - lr * factor * g, inside, PARTIAL)


@triton.jit
def copy_kernel(table, lengths, owners, starts, P: tl.constexpr, ALIGNED: tl.constexpr, BLOCK: tl.constexpr):
    """Copy each tensor to the address in the second of its four cells."""
    which = tl.load(owners + tl.program_id(0)).to(tl.int64)
    start = tl.load(starts + tl.program_id(0)).to(tl.int64) * BLOCK
    length = tl.load(lengths + which)
    row = table + which * 4
    at = start + tl.arange(0, BLOCK)
    p_, was_ = _address(row, P, ALIGNED) + at, _address(row + 1, P, ALIGNED) + at
    if start + BLOCK <= length:
        tl.store(was_, tl.load(p_))
    else:
        tl.store(was_, tl.load(p_, at < length), at < length)


@triton.jit
def go_on_kernel(
    table, lengths, owners, starts, numbers, P: tl.constexpr, ALIGNED: tl.constexpr, BLOCK: tl.constexpr
):
    """Move each tensor on by κ times its displacement; cells: p, was, mask (0 is none), row of numbers."""
    which = tl.load(owners + tl.program_id(0)).to(tl.int64)
    start = tl.load(starts + tl.program_id(0)).to(tl.int64) * BLOCK
    length = tl.load(lengths + which)
    row = table + which * 4
    at = start + tl.arange(0, BLOCK)
    if start + BLOCK <= length:
        _go_on_block(row, numbers, at, at >= 0, False, P, ALIGNED)
    else:
        _go_on_block(row, numbers, at, at < length, True, P, ALIGNED)


@triton.jit
def _go_on_block(row, numbers, at, inside, PARTIAL: tl.constexpr, P: tl.constexpr, ALIGNED: tl.constexpr):
    own = numbers + tl.load(row + 3) * 2
    kappa, decay = tl.load(own), tl.load(own + 1)
    p_ = _address(row, P, ALIGNED) + at
    new, old = _read(p_, inside, PARTIAL), _read(_address(row + 1, P, ALIGNED) + at, inside, PARTIAL)
    moved = kappa * (new - old + decay * old)
    if tl.load(row + 2) != 0:
        moved = moved * _read(_address(row + 2, tl.uint8, ALIGNED) + at, inside, PARTIAL)
    _write(p_, new + moved, inside, PARTIAL)


@triton.jit
def _address(cell, KIND: tl.constexpr, ALIGNED: tl.constexpr):
    address = tl.load(cell).to(tl.pointer_type(KIND))
    return tl.multiple_of(address, 16) if ALIGNED else address


@triton.jit
def _factor(row, kappa, at, inside, PARTIAL: tl.constexpr, ALIGNED: tl.constexpr):
    """1 + κ n, with n = 1 everywhere where there is no mask."""
    if tl.load(row + 4) == 0:
        factor = (at * 0).to(tl.float32) + (1 + kappa)
    else:
        factor = 1 + kappa * _read(_address(row + 4, tl.uint8, ALIGNED) + at, inside, PARTIAL)
    return factor


@triton.jit
def _read(pointers, inside, PARTIAL: tl.constexpr):
    value = tl.load(pointers, inside) if PARTIAL else tl.load(pointers)
    return value.to(tl.float32)


@triton.jit
def _write(pointers, value, inside, PARTIAL: tl.constexpr):
    if PARTIAL:
        tl.store(pointers, value.to(pointers.dtype.element_ty), inside)
    else:
        tl.store(pointers, value.to(pointers.dtype.element_ty))
