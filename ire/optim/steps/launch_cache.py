"""Caches what stays the same from one single-launch step to the next.

On a small model, and on a fast GPU, the host limits a step. So a step compares whole columns over all parameters, in C
where Python can, and inspects single parameters only if a column has changed. Each column over the 146 tensors of a
small Llama takes 10 to 20 µs.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import chain
from operator import attrgetter
from types import NoneType
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from ire.optim.steps.adam import Adam
from ire.optim.steps.boost import Boost
from ire.optim.steps.counters import Counters
from ire.optim.steps.rules import Rule
from ire.optim.tensors.blocks import memory_order
from ire.optim.tensors.identity import same
from ire.optim.tensors.tiles import KINDS

_VALUES = dict[str, object].values  # `dict.values`, typed
_GRADIENT, _DTYPE = attrgetter("grad"), attrgetter("dtype")
# torch's stub has no types of them
_ADDRESS: Callable[[Tensor], int] = Tensor.data_ptr
_IN_ORDER: Callable[[Tensor], bool] = Tensor.is_contiguous


@dataclass
class Work:
    """What one launch works on: parameters of one device, with one set of types."""

    group: dict[str, Any]
    """One of their groups: all have the same form of SGD."""
    places: list[int] = field(default_factory=list[int])
    """Numbers of the parameters, among all."""
    lengths: list[int] = field(default_factory=list[int])
    addresses: list[tuple[int, int, int]] = field(default_factory=list[tuple[int, int, int]])
    """Of each parameter and its two buffers."""
    table: "array[int]" = field(default_factory=lambda: array("q"))
    """Six cells a parameter: addresses of p, g, two buffers and the mask, and the row of its numbers."""
    rows: list[int] = field(default_factory=list[int])
    """One parameter for each row of numbers: all that share the row have its group, count and κ."""
    bits: int = 0
    """Of all addresses but the gradients', joined by "or": the last four are 0 if all are multiples of 16."""

    def point_to(self, gradients: Sequence[int]) -> bool:
        """Set the gradients' addresses; whether all addresses are multiples of 16."""
        self.table[1::6] = array("q", gradients)
        return not reduce(int.__or__, gradients, self.bits) & 15


class Known:
    """All parameters that have a gradient, with what a step needs of them."""

    def __init__(self, rule: Rule, base: Optimizer) -> None:
        self._groups = list(base.param_groups)
        self._params = [list(group["params"]) for group in self._groups]
        self._forms = [_form(rule, group) for group in self._groups]
        self._state, self._states = base.state, list(base.state.values())
        self._rule = rule
        owned = [(p, group) for group in self._groups for p in group["params"]]
        self._resting = [p for p, _ in owned if p.grad is None]
        moving = [(p, group) for p, group in owned if p.grad is not None]
        self.parameters, self.groups = [p for p, _ in moving], [group for _, group in moving]
        self.gradients = [p.grad for p in self.parameters]
        states: list[dict[str, Any]] = [base.state.get(p) or {} for p in self.parameters]
        buffers = [rule.buffers(state, group) for state, group in zip(states, self.groups, strict=True)]
        self.fits = len({p.device.type for p in self.parameters}) <= 1 and all(
            map(_fits, self.parameters, self.gradients, buffers)
        )
        """Whether the kernels can take all of them."""
        if not self.fits:
            return
        self._written = [*self.parameters, *chain.from_iterable(filter(None, buffers))]
        self.counters = Counters(states)
        self._single = [i for i, p in enumerate(self.parameters) if p.numel() == 1]
        """Numbers of those whose gradient autograd may leave with its sign yet to be flipped; it copies larger ones."""
        self._columns = self._of_parameters()
        self._gradient_columns = self._of_gradients(self.gradients)
        self._remember_values()
        self.works: dict[tuple[Any, ...], Work] = {}
        for i, (p, gradient, own, group) in enumerate(
            zip(self.parameters, self.gradients, buffers, self.groups, strict=True)
        ):
            assert own is not None  # all fit
            kind = own[0].dtype if own else p.dtype
            key = (p.dtype, gradient.dtype, kind, p.device, *_form(rule, group))
            work = self.works.setdefault(key, Work(group))
            work.places.append(i)
            work.lengths.append(p.numel())
            first, second = [*(b.data_ptr() for b in own), 0, 0][:2]
            work.addresses.append((p.data_ptr(), first, second))
        self.boosts: Sequence[Boost] | None = None
        self._copies: dict[int, tuple[Tensor, int, Tensor]] = {}

    def lasts(self, base: Optimizer) -> bool:
        """Whether only values have changed since the last step; stores the gradients of this one."""
        if not (
            self.fits
            and same(base.param_groups, self._groups)
            and all(same(g["params"], ps) for g, ps in zip(self._groups, self._params, strict=True))
            and [_form(self._rule, group) for group in self._groups] == self._forms
            and base.state is self._state
            and same(base.state.values(), self._states)
            and same(self._values(), self._known_values)
        ):
            return False
        gradients = list(map(_GRADIENT, self.parameters))
        if NoneType in set(map(type, gradients)) or any([p.grad is not None for p in self._resting]):
            return False
        try:
            columns = self._of_gradients(gradients)
        except RuntimeError:  # sparse ones have no address
            return False
        if self._of_parameters() != self._columns or columns != self._gradient_columns:
            return False
        self.gradients = gradients
        return True

    def take(self, boosts: Sequence[Boost]) -> None:
        """Set the boosts of this step; the same list object as in the last step means no change."""
        is_as_expected = self.counters.look()
        if boosts is not self.boosts:
            found = {id(boost.parameter): boost for boost in boosts}
            mine = [found.get(id(p)) for p in self.parameters]
            self.masks = [None if boost is None else boost.mask for boost in mine]
            self.kappas = [0.0 if boost is None else boost.kappa for boost in mine]
            self.boosts = boosts
        elif is_as_expected and not self._copies:
            return
        masks = [self._address(p, mask) for p, mask in zip(self.parameters, self.masks, strict=True)]
        rows = [
            (id(g), self.counters[i], kappa)
            for i, (g, kappa) in enumerate(zip(self.groups, self.kappas, strict=True))
        ]
        for work in self.works.values():
            first: dict[tuple[int, float, float], int] = {}
            for i in work.places:
                first.setdefault(rows[i], i)
            number = {row: n for n, row in enumerate(first)}
            work.rows = list(first.values())
            cells = [
                (p, 0, b1, b2, masks[i], number[rows[i]])
                for i, (p, b1, b2) in zip(work.places, work.addresses, strict=True)
            ]
            work.table = array("q", chain.from_iterable(cells))
            work.bits = reduce(int.__or__, (cell for row in cells for cell in row[:-1]), 0)

    def addresses(self) -> list[int]:
        """Of the gradients; those with another memory order than their parameter, or flipped signs, are copied."""
        in_order, flipped = self._gradient_columns[1:]
        if all(self._columns[1]) and all(in_order) and not any(flipped):
            return self._gradient_addresses
        self.gradients = [
            g if lies_as(p, g) else torch.empty_like(p, dtype=g.dtype).copy_(g)
            for p, g in zip(self.parameters, self.gradients, strict=True)
        ]
        return list(map(_ADDRESS, self.gradients))

    def end(self) -> None:
        """Count one more step in the base's counters and in the versions of what was written; release the gradients."""
        self.gradients = []
        torch.autograd.graph.increment_version(self._written)
        self.counters.add_one()
        if self.counters.has_numbers:
            self._remember_values()

    def _of_parameters(self) -> list[list[Any]]:
        """Gradients have the parameters' shapes and dtypes."""
        return [list(map(_ADDRESS, self.parameters)), list(map(_IN_ORDER, self.parameters))]

    def _of_gradients(self, gradients: Sequence[Tensor]) -> list[list[Any]]:
        self._gradient_addresses = list(map(_ADDRESS, gradients))
        flipped = [gradients[i].is_neg() for i in self._single]
        return [list(map(_DTYPE, gradients)), list(map(_IN_ORDER, gradients)), flipped]

    def _values(self) -> list[object]:
        return list(chain.from_iterable(map(_VALUES, self._states)))

    def _remember_values(self) -> None:
        self._known_values = self._values()

    def _address(self, p: Tensor, mask: Tensor | None) -> int:
        """The address of the mask, or of a copy in the memory order of `p`, renewed when the mask changes."""
        if mask is None:
            return 0
        if lies_as(p, mask):
            return mask.data_ptr()
        found = self._copies.get(id(mask))
        if found is None or found[0] is not mask or found[1] != mask._version:
            copy = torch.empty_like(p, dtype=torch.uint8).copy_(mask)
            found = self._copies[id(mask)] = (mask, mask._version, copy)
        return found[2].data_ptr()


def _form(rule: Rule, group: dict[str, Any]) -> tuple[bool, ...]:
    return () if rule is Adam else (bool(group["momentum"]), bool(group["nesterov"]))


def _fits(p: Tensor, gradient: Tensor, buffers: tuple[Tensor, ...] | None) -> bool:
    return (
        buffers is not None
        and gradient.layout == torch.strided
        and gradient.dtype in KINDS
        and (p.numel() == 1 or not gradient.is_neg())
        and not isinstance(p, DTensor)
        and has_place(p, *buffers)
    )


def has_place(p: Tensor, *buffers: Tensor) -> bool:
    """Whether the parameter and its buffers have one memory order without gaps, and types that the kernels support."""
    no_gaps = p.is_contiguous() or memory_order(p) is not None
    return no_gaps and lies_as(p, *buffers) and all(t.dtype in KINDS for t in (p, *buffers))


def lies_as(p: Tensor, *others: Tensor) -> bool:
    """Whether all have the memory order and the device of `p`, and no signs that are yet to be flipped."""
    in_order, strides, device = p.is_contiguous(), p.stride(), p.device
    return all(
        (t.is_contiguous() if in_order else t.stride() == strides) and t.device == device and not t.is_neg()
        for t in others
    )
