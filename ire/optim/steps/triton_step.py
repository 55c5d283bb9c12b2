"""The boosted step in one launch on a GPU: addresses and numbers are put together here, `triton_kernels` does the rest.

Nothing is read from the device: the base's counters are known on the host. Of what a step copies there, a few numbers
always, a table of addresses where a tensor has moved, nothing waits.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ire.optim.steps.adam import Adam
from ire.optim.steps.boost import Boost
from ire.optim.steps.host_counts import HostCounts
from ire.optim.steps.measured import Measured
from ire.optim.steps.rules import Numbers, Rule
from ire.optim.tensors.blocks import memory_order
from ire.optim.tensors.shards import local
from ire.optim.tensors.tiles import Tiles, tiles, to_device

KINDS = (torch.float32, torch.bfloat16, torch.float16)
WARPS = 8


class Launch:
    """The tensors of one device and of one set of types: their table there, and the launch over it."""

    def __init__(self, rule: Rule, kinds: tuple, device: torch.device) -> None:
        self._rule, self._kinds, self._device = rule, kinds, device
        self._lengths: list[int] = []
        self._addresses: list[int] = []
        self._tiles: Tiles | None = None
        self._table = self._numbers = torch.empty(0)
        self._is_aligned = False

    def stage(self, lengths: list[int], addresses: list[int], numbers: list[float]) -> None:
        """Take the tensors (`COLUMNS` a tensor, `NUMBERS` a row) of the next launch; waits for nothing.

        Where nothing but numbers and addresses changes, the device's memory stays the same, so that a captured
        `launch` may be replayed after it.
        """
        from ire.optim.steps.triton_kernels import BLOCK, COLUMNS

        if lengths != self._lengths:
            self._tiles, self._lengths = tiles(tuple(lengths), BLOCK, self._device), lengths
            self._table = torch.empty(len(addresses), dtype=torch.int64, device=self._device)
            self._addresses = []
        if addresses != self._addresses:
            self._table.copy_(to_device(addresses, torch.int64, self._device))
            self._addresses = addresses
            self._is_aligned = all(a % 16 == 0 for i, a in enumerate(addresses) if i % COLUMNS != COLUMNS - 1)
        if len(numbers) != len(self._numbers):
            self._numbers = torch.empty(len(numbers), dtype=torch.float32, device=self._device)
        self._numbers.copy_(to_device(numbers, torch.float32, self._device))

    def launch(self, group: dict[str, Any]) -> None:
        """Step all of them; `group` tells the form of SGD."""
        import triton.language as tl

        from ire.optim.steps.triton_kernels import BLOCK, adam_kernel, sgd_kernel

        if not self._tiles.count:
            return
        types = {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}
        p, g, b = (types[kind] for kind in self._kinds[:3])
        options = {"P": p, "G": g, "B": b, "ALIGNED": self._is_aligned, "BLOCK": BLOCK, "num_warps": WARPS}
        kernel = adam_kernel
        if self._rule is not Adam:
            kernel = sgd_kernel
            options |= {"MOMENTUM": bool(group["momentum"]), "NESTEROV": bool(group["nesterov"])}
        t = self._tiles
        with torch.cuda.device(self._device) if self._device.type == "cuda" else nullcontext():
            kernel[(t.count,)](self._table, t.lengths, t.owners, t.starts, self._numbers, **options)


class TritonStep:
    """Takes the base's step by itself, in the base's own state, in one launch for each type of parameter.

    The first step, which makes the base's state, is `Measured`, and so are double precision and parameters with gaps.
    """

    name = "triton"

    def __init__(self, rule: Rule, *, boost_weight_decay: bool = True) -> None:
        self.rule = rule
        self.boost_weight_decay = boost_weight_decay
        self._counts = HostCounts()
        self._launches: dict[tuple, Launch] = {}
        self._dense: dict[int, tuple[Tensor, tuple[int, ...], bool]] = {}
        self._masks: dict[int, tuple[Tensor, int, Tensor]] = {}
        self._copies: list[Tensor] = []
        self._otherwise = Measured()

    def step(self, base: Optimizer, boosts: Sequence[Boost]) -> None:
        """One step of `base` on all parameters that have a gradient."""
        lanes = self._lanes(base, {boost.parameter: boost for boost in boosts})
        if lanes is None:
            self._otherwise.step(base, boosts)
            return
        counters = [lane[1]["step"] for lane in lanes if "step" in lane[1]]
        values = iter(self._counts.of(counters))
        work: dict[tuple, tuple[list, list, list, dict, dict]] = {}
        for group, state, kinds, length, addresses, kappa in lanes:
            time = next(values) + 1 if "step" in state else 1.0
            form = (bool(group.get("momentum")), bool(group.get("nesterov"))) if self.rule is not Adam else ()
            lengths, table, numbers, rows, _ = work.setdefault((*kinds, *form), ([], [], [], {}, group))
            row = rows.get((id(group), time, kappa))
            if row is None:
                row = rows[id(group), time, kappa] = len(rows)
                numbers += packed(self.rule.at(group, time, self.boost_weight_decay), kappa)
            lengths.append(length)
            table += (*addresses, row)
        for key, (lengths, table, numbers, _, group) in work.items():
            launch = self._launches.setdefault(key, Launch(self.rule, key[:3], key[3]))
            launch.stage(lengths, table, numbers)
            launch.launch(group)
        self._copies.clear()
        self._counts.raise_by_one([counter for counter in counters if isinstance(counter, Tensor)])
        for _, state, *_ in lanes:
            if isinstance(state.get("step"), int | float):
                state["step"] += 1

    def _lanes(self, base: Optimizer, boosts: dict[Tensor, Boost]) -> list[tuple] | None:
        """(group, state, types and device, length, addresses, κ) a parameter; None if one of them does not fit."""
        found = []
        for group in base.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                state = base.state.get(parameter) or {}
                buffers = self.rule.buffers(state, group)
                if buffers is None or gradient.layout != torch.strided:
                    return None
                boost = boosts.get(parameter)
                mask = boost.mask if boost is not None else None
                p, g = local(parameter), local(gradient)
                buffers = [local(b) for b in buffers]
                if not (self._has_no_gaps(p) and lies_as(p, *buffers) and known(p, g, *buffers)):
                    return None
                if not lies_as(p, g):
                    g = torch.empty_like(p, dtype=g.dtype).copy_(g)
                    self._copies.append(g)
                if mask is not None and not lies_as(p, mask):
                    mask = self._in_order_of(p, mask)
                first = buffers[0] if buffers else p
                addresses = [p.data_ptr(), g.data_ptr(), *(b.data_ptr() for b in buffers)]
                addresses += [0] * (4 - len(addresses))
                addresses.append(0 if mask is None else mask.data_ptr())
                kinds = (p.dtype, g.dtype, first.dtype, p.device)
                found.append(
                    (group, state, kinds, p.numel(), addresses, boost.kappa if boost is not None else 0.0)
                )
        return found

    def _in_order_of(self, p: Tensor, mask: Tensor) -> Tensor:
        """A copy of the mask that lies in memory as `p` does, made anew when the mask has changed."""
        found = self._masks.get(id(mask))
        if found is None or found[0] is not mask or found[1] != mask._version:
            copy = torch.empty_like(p, dtype=torch.uint8).copy_(mask)
            found = self._masks[id(mask)] = (mask, mask._version, copy)
        return found[2]

    def _has_no_gaps(self, p: Tensor) -> bool:
        if p.is_contiguous():
            return True
        known = self._dense.get(id(p))
        if known is None or known[0] is not p or known[1] != p.stride():
            known = self._dense[id(p)] = (p, p.stride(), memory_order(p) is not None)
        return known[2]


def lies_as(p: Tensor, *others: Tensor) -> bool:
    """Whether all lie in memory in the order of `p`, and where it is."""
    in_order, strides, device = p.is_contiguous(), p.stride(), p.device
    return all(
        (t.is_contiguous() if in_order else t.stride() == strides) and t.device == device for t in others
    )


def known(*tensors: Tensor) -> bool:
    """Whether the kernels know their types."""
    return all(t.dtype in KINDS for t in tensors)


def packed(numbers: Numbers, kappa: float) -> list[float]:
    """A row of numbers as the kernels read it; what does not apply is neutral.

    1 − β is worked out in double precision: in single precision that of 0.999 is off by 5e-5.
    """
    if isinstance(numbers, Adam):
        return [
            1 - numbers.beta1,
            numbers.beta2,
            1 - numbers.beta2,
            numbers.size,
            numbers.eps,
            numbers.pull or 0.0,
            1 - (numbers.plain_decay or 0.0),
            numbers.coupled or 0.0,
            float(kappa),
        ]
    fresh = 1.0 if numbers.fresh is None else numbers.fresh
    row = [numbers.lr, numbers.coupled or 0.0, numbers.momentum or 0.0, fresh]
    return [*row, 0.0, 0.0, 0.0, 0.0, float(kappa)]
