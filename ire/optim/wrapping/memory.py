"""IRE's own memory as an entry of an optimizer's state dict."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ire.optim.tensors.shards import local
from ire.optim.wrapping.groups import OF_GROUPS
from ire.optim.wrapping.several_bases import bases_of


@dataclass
class Memory:
    """What IRE knows from one step to the next, beside the base's state."""

    steps: int = 0
    """Optimizer steps taken."""
    refreshes: int = 0
    """Refreshes of the mask tried, skipped ones included; also numbers the draws of random masks."""
    skipped: int = 0
    """Refreshes that kept the old mask because a curvature was not finite."""
    refreshed_at: int | None = None
    """The step of the last refresh."""
    overlap: float | None = None
    """Share of the mask that the previous mask also had; of this worker's part, None before the second."""
    zeros: float | None = None
    """Share of ranked curvatures that were exactly zero at the last refresh; of this worker's part."""
    masks: dict[Tensor, Tensor] = field(default_factory=dict[Tensor, Tensor])
    """By parameter: 1 where flat, 0 elsewhere, uint8; of a spread parameter, this worker's part."""
    averages: dict[Tensor, Tensor] = field(default_factory=dict[Tensor, Tensor])
    """By parameter: the running average of its curvature, if one is kept."""


NUMBERS = ("steps", "refreshes", "skipped", "refreshed_at")
LATER_NUMBERS = ("overlap", "zeros")
"""Missing from older checkpoints."""
TABLES = ("masks", "averages")


def packed(memory: Memory, parameters: Sequence[Tensor], *, bits: bool = False) -> dict[str, Any]:
    """Numbers and tensors only, parameters replaced by their index: loads with `weights_only=True`.

    With `bits` eight coordinates of a mask share a byte, as in `to_bits`.
    """
    index = {p: i for i, p in enumerate(parameters)}  # without those that a group no longer has
    entry: dict[str, Any] = {name: getattr(memory, name) for name in (*NUMBERS, *LATER_NUMBERS)}
    for name in TABLES:
        entry[name] = {index[p]: tensor for p, tensor in getattr(memory, name).items() if p in index}
    if bits:
        entry["masks"] = {i: to_bits(mask) for i, mask in entry["masks"].items()}
    return entry | {"shapes": [list(p.shape) for p in parameters], "bits": bits}


def to_bits(mask: Tensor) -> Tensor:
    """A mask of 0 and 1 as a vector of bytes, eight coordinates each in row-major order, the first one lowest."""
    ones = torch.nn.functional.pad(mask.reshape(-1), (0, -mask.numel() % 8)).view(-1, 8)
    places = torch.arange(8, dtype=torch.uint8, device=mask.device)
    return torch.bitwise_left_shift(ones, places).sum(1, dtype=torch.uint8)


def from_bits(packed_mask: Tensor, shape: torch.Size) -> Tensor:
    """The mask of `to_bits`."""
    places = torch.arange(8, dtype=torch.uint8, device=packed_mask.device)
    ones = torch.bitwise_right_shift(packed_mask.unsqueeze(1), places).bitwise_and_(1)
    return ones.view(-1)[: shape.numel()].view(shape)


def unpacked(entry: dict[str, Any] | None, parameters: Sequence[Tensor]) -> Memory:
    """The memory of `packed`, on the parameters' devices, sharing nothing with `entry`.

    It is kept out of the base's state on purpose: torch casts everything there to the parameter's dtype, and many
    optimizers assume that a non-empty state is complete.

    Raises:
        ValueError: not the state of an IRE, or that of another model.
    """
    if entry is None:
        raise ValueError(
            'the state dict has no entry "ire": it was not saved by IRE; '
            "to continue from a plain optimizer, load it into the base: optimizer.base.load_state_dict(...). "
            "torch.distributed.checkpoint leaves the entry out: give it optimizer.base, and distributed_state(model)"
        )
    missing = {*NUMBERS, *TABLES, "shapes"} - set(entry)
    if missing:
        raise ValueError(
            f'the entry "ire" of the state dict lacks {", ".join(sorted(missing))}: it is damaged'
        )
    shapes = [list(p.shape) for p in parameters]
    if entry["shapes"] != shapes:
        saved = entry["shapes"]
        where = next((i for i, (a, b) in enumerate(zip(saved, shapes, strict=False)) if a != b), None)
        detail = (
            f"{len(saved)} parameters instead of {len(shapes)}"
            if where is None
            else f"parameter {where} has shape {tuple(saved[where])} instead of {tuple(shapes[where])}"
        )
        raise ValueError(
            f"the state dict is that of another model: {detail}; build the model it was saved from"
        )
    numbers: dict[str, Any] = {name: entry.get(name) for name in (*NUMBERS, *LATER_NUMBERS)}
    for name in NUMBERS:
        number = numbers[name]
        is_count = isinstance(number, int) and number >= 0
        if not (is_count or (name == "refreshed_at" and number is None)):
            raise ValueError(f'the entry "ire" of the state dict has {name}={number!r}: it is damaged')
    memory = Memory(**numbers)
    for name in TABLES:
        for i, tensor in entry[name].items():
            if not isinstance(i, int) or not 0 <= i < len(parameters):
                raise ValueError(
                    f'the entry "ire" of the state dict has {name} of parameter {i!r}, but there are '
                    f"{len(parameters)}: it is damaged"
                )
            getattr(memory, name)[parameters[i]] = _loaded(
                tensor, parameters[i], name, bits=name == "masks" and bool(entry.get("bits"))
            )
    return memory


def check_options(saved: Sequence[dict[str, Any]], base: Optimizer) -> None:
    """Check that saved groups are of the class of `base`: torch loads those of any class, and fails at the next step.

    An older checkpoint may lack options that newer versions of the base fill in, but has no unknown ones.

    Raises:
        ValueError: the groups lack options of the base, and have others instead.
    """
    owned = [(owner, group) for owner in bases_of(base) for group in owner.param_groups]
    for (owner, group), loaded in zip(owned, saved, strict=False):
        missing = sorted(set(owner.defaults) & set(group) - set(loaded))
        unknown = sorted(set(loaded) - set(group) - {*OF_GROUPS})
        if missing and unknown:
            raise ValueError(
                f"the state dict is that of another optimizer: its groups lack {', '.join(missing)}, which "
                f"{type(owner).__name__} needs, and have {', '.join(unknown)}; build the optimizer it was saved from"
            )


def _loaded(saved: Tensor, p: Tensor, table: str, *, bits: bool) -> Tensor:
    """A copy on the parameter's device, in its memory layout: of a mask in uint8, of an average in fp32 at least.

    Raises:
        ValueError: another shape, or a mask with other values than 0 and 1.
    """
    part = local(p)
    shape = (-(-part.numel() // 8),) if bits else part.shape
    if saved.shape != shape:
        raise ValueError(
            f"the state dict has {table} of shape {tuple(saved.shape)} instead of {tuple(shape)}: it is damaged, or "
            "was saved by another number of workers; use torch.distributed.checkpoint for that"
        )
    if bits:
        saved = from_bits(saved, part.shape)
    elif table == "masks" and not bool(((saved == 0) | (saved == 1)).all()):
        raise ValueError("the state dict has masks with values other than 0 and 1: it is damaged")
    dtype = torch.uint8 if table == "masks" else torch.promote_types(part.dtype, torch.float32)
    return torch.empty_like(part, dtype=dtype).copy_(saved)
