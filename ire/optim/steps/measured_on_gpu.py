"""The measured boost on a GPU: one launch copies all parameters before the base's step, one moves them on after it.

Parameter by parameter it is four launches each, for which the host takes longer than a GPU: 591 of them were 10 ms for
the 60 M parameters of a Llama on an H200, and 2 ms of the GPU.
"""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from ire.optim.steps.boost import Boost
from ire.optim.steps.known import KINDS, lies_as
from ire.optim.tensors.blocks import memory_order
from ire.optim.tensors.tiles import Tiles, copy_ahead, has_triton, tiles

WARPS = 8
ALIGNMENT = 16
"""Bytes: where each copy begins, so that all can be read four numbers at a time."""


def measures_here(boost: Boost) -> bool:
    """Whether this parameter can be boosted so: on a GPU, in at most single precision, without gaps in memory."""
    return boost.parameter.device.type == "cuda" and has_triton() and fits(boost)


def fits(boost: Boost) -> bool:
    """Whether types and memory are those that the kernels know."""
    p, mask = boost.parameter, boost.mask
    return (
        not isinstance(p, DTensor)
        and p.dtype in KINDS
        and memory_order(p) is not None
        and (mask is None or lies_as(p, mask))
    )


class Before:
    """Some parameters of one device and type as they are now; its memory is given back with it."""

    def __init__(self, boosts: Sequence[Boost]) -> None:
        from ire.optim.steps.triton_kernels import BLOCK, copy_kernel

        first = boosts[0].parameter
        self._device, self._dtype = first.device, first.dtype
        lengths = [boost.parameter.numel() for boost in boosts]
        step = ALIGNMENT // first.element_size()
        ends, total = [], 0
        for length in lengths:
            ends.append(total)
            total += -(-length // step) * step
        self._copies = torch.empty(total, dtype=self._dtype, device=self._device)
        start, size = self._copies.data_ptr(), first.element_size()
        rows = list(dict.fromkeys((boost.kappa, boost.plain_decay) for boost in boosts))
        number = {row: n for n, row in enumerate(rows)}
        table = [
            cell
            for boost, offset in zip(boosts, ends, strict=True)
            for cell in (
                boost.parameter.data_ptr(),
                start + offset * size,
                0 if boost.mask is None else boost.mask.data_ptr(),
                number[boost.kappa, boost.plain_decay],
            )
        ]
        self._is_aligned = all(a % ALIGNMENT == 0 for i, a in enumerate(table) if i % 4 != 3)
        self._tiles: Tiles = tiles(tuple(lengths), BLOCK, self._device)
        self._table = torch.empty(len(table), dtype=torch.int64, device=self._device)
        copy_ahead(self._table, table)
        self._numbers = torch.empty(2 * len(rows), dtype=torch.float32, device=self._device)
        copy_ahead(self._numbers, [number for row in rows for number in row])
        self._launch(copy_kernel)

    def go_on(self) -> None:
        """p ← p + κ n ⊙ (p − was + λ η was), in single precision."""
        from ire.optim.steps.triton_kernels import go_on_kernel

        self._launch(go_on_kernel, self._numbers)

    def _launch(self, kernel, *numbers: Tensor) -> None:
        import triton.language as tl

        from ire.optim.steps.triton_kernels import BLOCK

        if not self._tiles.count:
            return
        types = {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}
        options = {"P": types[self._dtype], "ALIGNED": self._is_aligned, "BLOCK": BLOCK, "num_warps": WARPS}
        t = self._tiles
        with torch.cuda.device(self._device) if self._device.type == "cuda" else nullcontext():
            kernel[(t.count,)](self._table, t.lengths, t.owners, t.starts, *numbers, **options)


def before_on_gpu(boosts: Sequence[Boost]) -> list[Before]:
    """The parameters as they are now, a copy for each device and type."""
    lots: dict[tuple, list[Boost]] = {}
    for boost in boosts:
        lots.setdefault((boost.parameter.device, boost.parameter.dtype), []).append(boost)
    return [Before(lot) for lot in lots.values()]
