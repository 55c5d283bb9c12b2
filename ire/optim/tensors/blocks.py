"""Cache blocking: long chains of cheap tensor operations, cut into pieces that stay in the cache.

A chain of element-wise operations over a whole model reads and writes main memory at every link. Cut
into blocks it does so once: on a CPU this is worth a factor of 5 to 10.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

CPU_BLOCK = 1 << 16
"""Elements: the four fp32 blocks of a boost fit into a second-level cache of 1 MiB."""
STEP_BLOCK = 1 << 15
"""Elements, for whole steps, which touch seven tensors."""
COUNT_BLOCK = 1 << 17
"""Elements, for counting: each block costs the addition of a table, so blocks are larger."""
DEVICE_BLOCK = 1 << 26
"""Elements. Small blocks gain nothing on accelerators, and each launch costs; this only bounds scratch."""


def blocks(first: Tensor, *others: Tensor, size: int = CPU_BLOCK) -> Iterator[tuple[Tensor, ...]]:
    """Iterate over equally shaped tensors together, in views of at most `size`; only vectors are cut."""
    if first.device.type != "cpu":
        size = DEVICE_BLOCK
    if first.dim() != 1 or first.numel() <= size:
        if first.numel():
            yield (first, *others)
        return
    # torch has the type of split in part
    yield from zip(*(t.split(size) for t in (first, *others)), strict=True)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]


class Scratch:
    """Memory for one block after another: fresh pages would cost more than most operations on them."""

    def __init__(self) -> None:
        self._memory = self._piece = torch.empty(0, device="cpu")
        self._asked: tuple[torch.Size, torch.dtype, torch.device] | None = None

    def like(self, block: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """An uninitialised tensor of the block's shape; it replaces the previous one."""
        asked = (block.shape, dtype or block.dtype, block.device)
        if asked != self._asked:
            shape, dtype, device = self._asked = asked
            memory, number = self._memory, block.numel()
            if memory.numel() < number or memory.dtype != dtype or memory.device != device:
                self._memory = torch.empty(number, dtype=dtype, device=device)
            self._piece = self._memory[:number].view(shape)
        return self._piece


def memory_order(like: Tensor) -> list[int] | None:
    """The order of axes in which `like` lies gapless in memory; None if it has gaps or overlaps.

    A contiguous tensor gives 0, 1, 2 …; one in channels-last format 0, 2, 3, 1.
    """
    if like.is_contiguous():
        return list(range(like.dim()))
    axes = sorted(range(like.dim()), key=lambda axis: (-like.stride(axis), axis))
    return axes if like.permute(axes).is_contiguous() else None


def flat(tensor: Tensor, axes: list[int] | None) -> Tensor:
    """`tensor` as a vector in the given order of axes: a view where the memory allows, else a copy."""
    return tensor.reshape(-1) if axes is None else tensor.permute(axes).reshape(-1)


def flat_together(written: Sequence[Tensor], read: Sequence[Tensor]) -> list[Tensor]:
    """All tensors as vectors in one common order, the `written` ones as views.

    If no such view exists (gaps in memory, or different orders), they are returned unchanged.
    """
    if all(t.is_contiguous() for t in (*written, *read)):
        return [t.view(-1) for t in (*written, *read)]
    axes = memory_order(written[0])
    if axes is None or not all(t.permute(axes).is_contiguous() for t in written):
        return [*written, *read]
    return [flat(t, axes) for t in (*written, *read)]
