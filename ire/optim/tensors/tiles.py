"""Many tensors cut into blocks of one size: which program of a launch works on which part of which tensor."""

import importlib.util
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import torch
from torch import Tensor

KINDS = (torch.float32, torch.bfloat16, torch.float16)
"""Element types that the kernels support."""
WARPS = 8


@dataclass(frozen=True)
class Tiles:
    """The blocks of tensors of some lengths, in order; all on the device."""

    lengths: Tensor
    """(tensors,) int64: elements of each."""
    owners: Tensor
    """(blocks,) int32: the tensor that a block belongs to."""
    starts: Tensor
    """(blocks,) int32: the number of the block in its tensor."""

    @property
    def count(self) -> int:
        return len(self.owners)

    def launch(
        self, kernel: Any, table: Tensor, *arguments: object, programs: int = 0, **options: object
    ) -> None:
        """Launch a Triton kernel over all blocks on the device of `table`, with `programs`, or one a block."""
        if self.count:
            with on_device_of(table):
                parts = table, self.lengths, self.owners, self.starts
                kernel[(programs or self.count,)](*parts, *arguments, num_warps=WARPS, **options)


@lru_cache(maxsize=16)
def tiles(lengths: tuple[int, ...], block: int, device: torch.device) -> Tiles:
    """The blocks of `block` elements, the last of each tensor smaller; an empty tensor has none.

    Cached for the last few models, because building them synchronises with the device.
    """
    each = torch.tensor(lengths, dtype=torch.int64)
    counts = (each + block - 1).div(block, rounding_mode="floor")
    owners = torch.repeat_interleave(torch.arange(len(each)), counts)
    starts = torch.arange(len(owners)) - (counts.cumsum(0) - counts)[owners]
    return Tiles(each.to(device), owners.int().to(device), starts.int().to(device))


def to_device(values: Sequence[float], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Host numbers as a tensor on the device, copied without synchronising."""
    tensor = torch.tensor(values, dtype=dtype, device="cpu")
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def copy_ahead(target: Tensor, values: Sequence[float] | Tensor) -> None:
    """Overwrite a device tensor with host numbers, which may change afterwards, without synchronising."""
    tensor = values if isinstance(values, Tensor) else torch.tensor(values, dtype=target.dtype, device="cpu")
    target.copy_(tensor.pin_memory() if target.is_cuda else tensor, non_blocking=True)


def on_device_of(tensor: Tensor) -> AbstractContextManager[object]:
    """Make the device of `tensor` current: Triton launches on the current device."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


def triton_type(kind: torch.dtype) -> Any:
    """Triton's type of an element; `KeyError` if it is not in `KINDS`."""
    # Not every machine has it.
    import triton.language as tl  # pyright: ignore[reportMissingTypeStubs] - it has none

    return dict(zip(KINDS, (tl.float32, tl.bfloat16, tl.float16), strict=True))[kind]


@cache
def has_triton() -> bool:
    """Whether Triton is installed; torch depends on it where it supports GPUs."""
    return importlib.util.find_spec("triton") is not None
