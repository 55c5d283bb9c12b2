"""The boosted step in one launch on a GPU: addresses and numbers are put together here, `triton_kernels` does the rest.

Nothing is read from the device: the base's counters are known on the host. Of what a step copies there, a few numbers
always, a table of addresses where a tensor has moved, nothing waits.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from ire.optim.steps.adam import Adam
from ire.optim.steps.boost import Boost
from ire.optim.steps.measured import Measured
from ire.optim.steps.rules import Numbers, Rule
from ire.optim.tensors.blocks import memory_order
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


class Lane:
    """One parameter on its way through the step: all that stays the same from one step to the next."""

    __slots__ = (
        "addresses",
        "buffers",
        "count",
        "counter",
        "in_order",
        "kind",
        "length",
        "p",
        "state",
        "version",
        "where",
    )

    def __init__(self, p: Tensor, state: dict[str, Any], buffers: tuple[Tensor, ...]) -> None:
        self.p, self.state, self.buffers = p, state, buffers
        self.where, self.length, self.kind, self.in_order = (
            p.data_ptr(),
            p.numel(),
            p.dtype,
            p.is_contiguous(),
        )
        self.addresses = [*(b.data_ptr() for b in buffers), 0, 0][:2]
        self.counter: Tensor | float | None = state.get("step")
        self.count, self.version = 0.0, -1  # not known yet

    def lasts(self, p: Tensor, state: dict[str, Any], buffers: tuple[Tensor, ...]) -> bool:
        """Whether nothing has changed but values."""
        return (
            state is self.state
            and p.data_ptr() == self.where
            and p.numel() == self.length
            and p.dtype is self.kind
            and p.is_contiguous() is self.in_order
            and (self.in_order or p.stride() == self.p.stride())
            and len(buffers) == len(self.buffers)
            and all(new is old for new, old in zip(buffers, self.buffers, strict=True))
            and state.get("step") is self.counter
        )


class TritonStep:
    """Takes the base's step by itself, in the base's own state, in one launch for each type of parameter.

    The first step, which makes the base's state, is `Measured`, and so are double precision and parameters with gaps.
    What can be kept of a parameter is kept in its `Lane`: on a small model the host is what a step waits for.
    """

    name = "triton"

    def __init__(self, rule: Rule, *, boost_weight_decay: bool = True) -> None:
        self.rule = rule
        self.boost_weight_decay = boost_weight_decay
        self._launches: dict[tuple, Launch] = {}
        self._lanes: dict[int, Lane] = {}
        self._masks: dict[int, tuple[Tensor, int, Tensor]] = {}
        self._copies: list[Tensor] = []
        self._otherwise = Measured()

    def step(self, base: Optimizer, boosts: Sequence[Boost]) -> None:
        """One step of `base` on all parameters that have a gradient."""
        lanes = self._found(base)
        if lanes is None:
            self._otherwise.step(base, boosts)
            return
        read_counters([lane for _, lane, _ in lanes])
        boosted = {id(boost.parameter): boost for boost in boosts}
        work: dict[tuple, tuple[list, list, list, dict, dict]] = {}
        for group, lane, gradient in lanes:
            boost = boosted.get(id(lane.p))
            mask, kappa = (boost.mask, boost.kappa) if boost is not None else (None, 0.0)
            if mask is not None and not (mask.is_contiguous() if lane.in_order else lies_as(lane.p, mask)):
                mask = self._in_order_of(lane.p, mask)
            key = (
                lane.kind,
                gradient.dtype,
                lane.buffers[0].dtype if lane.buffers else lane.kind,
                lane.p.device,
            )
            if self.rule is not Adam:
                key += bool(group["momentum"]), bool(group["nesterov"])
            lengths, table, numbers, rows, _ = work.get(key) or work.setdefault(key, ([], [], [], {}, group))
            row = rows.get((id(group), lane.count, kappa))
            if row is None:
                row = rows[id(group), lane.count, kappa] = len(rows)
                numbers += packed(self.rule.at(group, lane.count + 1, self.boost_weight_decay), kappa)
            lengths.append(lane.length)
            table += (
                lane.where,
                gradient.data_ptr(),
                *lane.addresses,
                0 if mask is None else mask.data_ptr(),
                row,
            )
        for key, (lengths, table, numbers, _, group) in work.items():
            launch = self._launches.get(key) or self._launches.setdefault(
                key, Launch(self.rule, key[:3], key[3])
            )
            launch.stage(lengths, table, numbers)
            launch.launch(group)
        self._copies.clear()
        raise_counters([lane for _, lane, _ in lanes])

    def _found(self, base: Optimizer) -> list[tuple[dict[str, Any], Lane, Tensor]] | None:
        """(group, lane, gradient) of each parameter that has one; None if one of them does not fit."""
        found, states, rule, lanes = [], base.state, self.rule, self._lanes
        for group in base.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                state = states.get(parameter) or {}
                buffers = rule.buffers(state, group)
                if buffers is None or gradient.layout != torch.strided:
                    return None
                lane = lanes.get(id(parameter))
                if lane is None or lane.p is not parameter or not lane.lasts(parameter, state, buffers):
                    if isinstance(parameter, DTensor) or not has_place(parameter, *buffers):
                        return None
                    lane = lanes[id(parameter)] = Lane(parameter, state, buffers)
                if gradient.dtype not in KINDS:
                    return None
                if not (gradient.is_contiguous() if lane.in_order else lies_as(parameter, gradient)):
                    gradient = torch.empty_like(parameter, dtype=gradient.dtype).copy_(gradient)
                    self._copies.append(gradient)
                found.append((group, lane, gradient))
        return found

    def _in_order_of(self, p: Tensor, mask: Tensor) -> Tensor:
        """A copy of the mask that lies in memory as `p` does, made anew when the mask has changed."""
        found = self._masks.get(id(mask))
        if found is None or found[0] is not mask or found[1] != mask._version:
            copy = torch.empty_like(p, dtype=torch.uint8).copy_(mask)
            found = self._masks[id(mask)] = (mask, mask._version, copy)
        return found[2]


def read_counters(lanes: Sequence[Lane]) -> None:
    """Know what the base has counted; what nobody else has touched is known, the rest is brought here all at once.

    Reading a counter from a GPU waits for all that the GPU has to do.
    """
    stale = []
    for lane in lanes:
        if not isinstance(lane.counter, Tensor):
            lane.count = float(lane.counter or 0.0)
        elif lane.counter._version != lane.version:
            stale.append(lane)
    if not stale:
        return
    counters = [lane.counter for lane in stale]
    on_one_gpu = counters[0].device.type != "cpu" and len({c.device for c in counters}) == 1
    values = torch.stack([c.reshape(()) for c in counters]).tolist() if on_one_gpu else map(float, counters)
    for lane, value in zip(stale, values, strict=True):
        lane.count, lane.version = float(value), lane.counter._version


def raise_counters(lanes: Sequence[Lane]) -> None:
    """One more step in the base's counters, and in what is known of them."""
    tensors = [lane.counter for lane in lanes if isinstance(lane.counter, Tensor)]
    if tensors:
        torch._foreach_add_(tensors, 1)
    for lane in lanes:
        if isinstance(lane.counter, Tensor):
            lane.count, lane.version = lane.count + 1, lane.counter._version
        elif lane.counter is not None:
            lane.counter = lane.state["step"] = lane.counter + 1


def has_place(p: Tensor, *buffers: Tensor) -> bool:
    """Whether the parameter and its buffers lie in memory in one order without gaps, in types that the kernels know."""
    no_gaps = p.is_contiguous() or memory_order(p) is not None
    return no_gaps and lies_as(p, *buffers) and all(t.dtype in KINDS for t in (p, *buffers))


def lies_as(p: Tensor, *others: Tensor) -> bool:
    """Whether all lie in memory in the order of `p`, and where it is."""
    in_order, strides, device = p.is_contiguous(), p.stride(), p.device
    return all(
        (t.is_contiguous() if in_order else t.stride() == strides) and t.device == device for t in others
    )


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
