"""The measured boost on a GPU: one launch copies all parameters before the base's step, one moves them on after it.

Four launches for each parameter take the host longer than the GPU: for the 60 M parameters of a Llama on an H200, 591
launches took 10 ms of the host and 2 ms of the GPU. Its kernels are imported when used: not every machine has Triton.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from ire.optim.steps.boost import Boost
from ire.optim.steps.launch_cache import lies_as
from ire.optim.tensors.blocks import memory_order
from ire.optim.tensors.tiles import KINDS, Tiles, copy_ahead, has_triton, tiles, triton_type

ALIGNMENT = 16
"""Bytes. Each copy begins at a multiple of it, so that four numbers are read at a time."""


def measures_here(boost: Boost) -> bool:
    """Whether these kernels can boost this parameter: on a GPU, in at most single precision, without gaps."""
    return boost.parameter.device.type == "cuda" and has_triton() and fits(boost)


def fits(boost: Boost) -> bool:
    """Whether the kernels support its types and its memory layout."""
    p, mask = boost.parameter, boost.mask
    return (
        not isinstance(p, DTensor)
        and p.dtype in KINDS
        and memory_order(p) is not None
        and (mask is None or lies_as(p, mask))
    )


class Before:
    """A copy of some parameters of one device and type; its memory is freed with the object."""

    def __init__(self, boosts: Sequence[Boost]) -> None:
        from ire.optim.steps.triton_kernels import BLOCK, copy_kernel  # pyright: ignore[reportUnknownVariableType] - Triton has no types

        self._parameters = [boost.parameter for boost in boosts]
        self._strides = [p.stride() for p in self._parameters]
        first = boosts[0].parameter
        device = first.device
        lengths = [p.numel() for p in self._parameters]
        step = ALIGNMENT // first.element_size()
        offsets: list[int] = []
        total = 0
        for length in lengths:
            offsets.append(total)
            total += -(-length // step) * step
        self._copies = torch.empty(total, dtype=first.dtype, device=device)
        start, size = self._copies.data_ptr(), first.element_size()
        rows = list(dict.fromkeys((boost.kappa, boost.plain_decay) for boost in boosts))
        number = {row: n for n, row in enumerate(rows)}
        self._cells = [
            cell
            for boost, offset in zip(boosts, offsets, strict=True)
            for cell in (
                boost.parameter.data_ptr(),
                start + offset * size,
                0 if boost.mask is None else boost.mask.data_ptr(),
                number[boost.kappa, boost.plain_decay],
            )
        ]
        self._tiles: Tiles = tiles(tuple(lengths), BLOCK, device)
        self._table = torch.empty(len(self._cells), dtype=torch.int64, device=device)
        self._stage()
        self._numbers = torch.empty(2 * len(rows), dtype=torch.float32, device=device)
        copy_ahead(self._numbers, [number for row in rows for number in row])
        self._launch(copy_kernel)

    def go_on(self) -> None:
        """p ← p + κ n ⊙ (p − was + λ η was), in single precision."""
        from ire.optim.steps.triton_kernels import go_on_kernel  # pyright: ignore[reportUnknownVariableType] - Triton has no types

        addresses = [p.data_ptr() for p in self._parameters]
        if addresses != self._cells[::4]:  # the base's step has replaced `p.data`
            self._follow()
        self._launch(go_on_kernel, self._numbers)

    def _follow(self) -> None:
        """Go on with the parameters' new memory, in the order of the copies."""
        for row, (p, strides) in enumerate(zip(self._parameters, self._strides, strict=True)):
            if p.stride() != strides:
                p.data = torch.empty_strided(p.shape, strides, dtype=p.dtype, device=p.device).copy_(p)
            self._cells[4 * row] = p.data_ptr()
        self._stage()

    def _stage(self) -> None:
        self._is_aligned = all(a % ALIGNMENT == 0 for i, a in enumerate(self._cells) if i % 4 != 3)
        copy_ahead(self._table, self._cells)

    def _launch(self, kernel: Any, *numbers: Tensor) -> None:
        from ire.optim.steps.triton_kernels import BLOCK

        options = {"P": triton_type(self._copies.dtype), "ALIGNED": self._is_aligned, "BLOCK": BLOCK}
        self._tiles.launch(kernel, self._table, *numbers, **options)


def before_on_gpu(boosts: Sequence[Boost]) -> list[Before]:
    """Copies of the parameters, one for each device and type."""
    lots: dict[tuple[torch.device, torch.dtype], list[Boost]] = {}
    for boost in boosts:
        lots.setdefault((boost.parameter.device, boost.parameter.dtype), []).append(boost)
    return [Before(lot) for lot in lots.values()]
