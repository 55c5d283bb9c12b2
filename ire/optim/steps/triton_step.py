"""The boosted step in one launch on a GPU: addresses and numbers are put together here, `triton_kernels` does the rest.

Nothing is read from the device: the base's counters are known on the host. Of what a step copies there, a few numbers
always, a table of addresses where a tensor has moved, nothing waits.
"""

import operator
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from ire.optim.steps.adam import Adam
from ire.optim.steps.boost import Boost
from ire.optim.steps.counters import Counters
from ire.optim.steps.measured import Measured
from ire.optim.steps.rules import Numbers, Rule
from ire.optim.tensors.blocks import memory_order
from ire.optim.tensors.tiles import Tiles, copy_ahead, tiles

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
            copy_ahead(self._table, addresses)
            self._addresses = addresses
            self._is_aligned = all(a % 16 == 0 for i, a in enumerate(addresses) if i % COLUMNS != COLUMNS - 1)
        if len(numbers) != len(self._numbers):
            self._numbers = torch.empty(len(numbers), dtype=torch.float32, device=self._device)
        copy_ahead(self._numbers, numbers)

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


class Known:
    """What lasts from one step to the next of all parameters that have a gradient, column by column.

    On a small model the host is what a step waits for, so that a step compares whole columns, and looks at
    single parameters only where one of these has changed.
    """

    def __init__(self, rule: Rule, moves: "Moves") -> None:
        self.columns = moves.columns()
        self.held = (
            moves.parameters,
            moves.states,
            moves.buffers,
        )  # alive, so that no other object has their ids
        self.counters = Counters(moves.states)
        self.in_order = [p.is_contiguous() for p in moves.parameters]
        self.masks: list[Tensor | None] = []
        self.mask_addresses: list[int] = []
        self.works: dict[tuple, Work] = {}
        numbers_of = {id(group): number for number, group in enumerate(moves.distinct_groups)}
        self.groups = [numbers_of[id(group)] for group in moves.groups]
        for i, (p, gradient, buffers, group) in enumerate(
            zip(moves.parameters, moves.gradients, moves.buffers, moves.groups, strict=True)
        ):
            form = () if rule is Adam else (bool(group["momentum"]), bool(group["nesterov"]))
            key = (p.dtype, gradient.dtype, buffers[0].dtype if buffers else p.dtype, p.device, *form)
            work = self.works.get(key) or self.works.setdefault(key, Work(group, [], [], []))
            work.places.append(i)
            work.lengths.append(p.numel())
            work.table.extend((p.data_ptr(), 0, *[*(b.data_ptr() for b in buffers), 0, 0][:2], 0, 0))


@dataclass(frozen=True)
class Work:
    """What one launch works on."""

    group: dict[str, Any]
    """One of its groups: all have the same form of SGD."""
    places: list[int]
    """Which of all parameters."""
    lengths: list[int]
    table: list[int]
    """`COLUMNS` a parameter."""


class Moves:
    """The parameters that have a gradient, in order, with all that a step needs of them."""

    def __init__(self, rule: Rule, base: Optimizer) -> None:
        self.distinct_groups = base.param_groups
        owned = [(p, group) for group in base.param_groups for p in group["params"] if p.grad is not None]
        self.parameters = [p for p, _ in owned]
        self.groups = [group for _, group in owned]
        self.gradients = [p.grad for p in self.parameters]
        get = base.state.get
        self.states = [get(p) or {} for p in self.parameters]
        self.buffers = [
            rule.buffers(state, group) for state, group in zip(self.states, self.groups, strict=True)
        ]

    def columns(self) -> list[list]:
        """All that must be as it was for `Known` to hold; what changes at every step is not among it."""
        ps, gs = self.parameters, self.gradients
        return [
            [id(p) for p in ps],
            [p.data_ptr() for p in ps],
            [p.dtype for p in ps],
            [p.stride() for p in ps],
            [p.numel() for p in ps],
            [g.dtype for g in gs],
            [g.layout for g in gs],
            [id(state) for state in self.states],
            [id(state.get("step")) for state in self.states],
            [None if bs is None else [id(b) for b in bs] for bs in self.buffers],
            [id(group) for group in self.groups],
            [(group.get("momentum"), group.get("nesterov")) for group in self.distinct_groups],
        ]

    def fit(self) -> bool:
        """Whether the kernels can take all of them."""
        return not any(
            buffers is None
            or g.layout != torch.strided
            or g.dtype not in KINDS
            or isinstance(p, DTensor)
            or not has_place(p, *buffers)
            for p, g, buffers in zip(self.parameters, self.gradients, self.buffers, strict=True)
        )


class TritonStep:
    """Takes the base's step by itself, in the base's own state, in one launch for each type of parameter.

    The first step, which makes the base's state, is `Measured`, and so are double precision and parameters with gaps.
    """

    name = "triton"

    def __init__(self, rule: Rule, *, boost_weight_decay: bool = True) -> None:
        self.rule = rule
        self.boost_weight_decay = boost_weight_decay
        self._known: Known | None = None
        self._launches: dict[tuple, Launch] = {}
        self._copied_masks: dict[int, tuple[Tensor, int, Tensor]] = {}
        self._otherwise = Measured()

    def step(self, base: Optimizer, boosts: Sequence[Boost]) -> None:
        """One step of `base` on all parameters that have a gradient."""
        moves = Moves(self.rule, base)
        known = self._known
        if known is None or moves.columns() != known.columns:
            known = self._known = Known(self.rule, moves) if moves.fit() else None
        if known is None:
            self._otherwise.step(base, boosts)
            return
        found = {id(boost.parameter): boost for boost in boosts}
        mine = [found.get(id(p)) for p in moves.parameters]
        gradients = self._in_order(moves, known)
        masks = self._mask_addresses(known, moves.parameters, mine)
        kappas = [0.0 if boost is None else boost.kappa for boost in mine]
        rows = list(zip(known.groups, known.counters.read(), kappas, strict=True))
        where = [gradient.data_ptr() for gradient in gradients]
        for key, work in known.works.items():
            self._launch(key, work, base.param_groups, where, masks, rows)
        known.counters.add_one()

    def _launch(
        self,
        key: tuple,
        work: Work,
        groups: Sequence[dict[str, Any]],
        gradients: list[int],
        masks: list[int],
        rows: list[tuple[int, float, float]],
    ) -> None:
        from ire.optim.steps.triton_kernels import COLUMNS

        own = [rows[i] for i in work.places]
        numbered = {row: number for number, row in enumerate(dict.fromkeys(own))}
        numbers = [
            x
            for group, count, kappa in numbered
            for x in packed(self.rule.at(groups[group], count + 1, self.boost_weight_decay), kappa)
        ]
        table = work.table.copy()
        table[1::COLUMNS] = [gradients[i] for i in work.places]
        table[4::COLUMNS] = [masks[i] for i in work.places]
        table[5::COLUMNS] = [numbered[row] for row in own]
        launch = self._launches.get(key) or self._launches.setdefault(key, Launch(self.rule, key[:3], key[3]))
        launch.stage(work.lengths, table, numbers)
        launch.launch(work.group)

    def _in_order(self, moves: Moves, known: Known) -> Sequence[Tensor]:
        """The gradients, those copied that lie in memory in another order than their parameter."""
        gradients = moves.gradients
        if [g.stride() for g in gradients] == known.columns[3]:
            return gradients
        return [
            g
            if (g.is_contiguous() if in_order else g.stride() == p.stride())
            else torch.empty_like(p, dtype=g.dtype).copy_(g)
            for p, g, in_order in zip(moves.parameters, gradients, known.in_order, strict=True)
        ]

    def _mask_addresses(
        self, known: Known, parameters: Sequence[Tensor], boosts: Sequence[Boost | None]
    ) -> list[int]:
        masks = [None if boost is None else boost.mask for boost in boosts]
        is_old = len(masks) == len(known.masks) and all(map(operator.is_, masks, known.masks))
        if is_old and not self._copied_masks:
            return known.mask_addresses
        ready = [
            mask
            if mask is None or (mask.is_contiguous() if in_order else lies_as(p, mask))
            else self._in_order_of(p, mask)
            for p, mask, in_order in zip(parameters, masks, known.in_order, strict=True)
        ]
        known.masks = masks
        known.mask_addresses = [0 if mask is None else mask.data_ptr() for mask in ready]
        return known.mask_addresses

    def _in_order_of(self, p: Tensor, mask: Tensor) -> Tensor:
        """A copy of the mask that lies in memory as `p` does, made anew when the mask has changed."""
        found = self._copied_masks.get(id(mask))
        if found is None or found[0] is not mask or found[1] != mask._version:
            copy = torch.empty_like(p, dtype=torch.uint8).copy_(mask)
            found = self._copied_masks[id(mask)] = (mask, mask._version, copy)
        return found[2]


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
