"""The boosted step in one launch on a GPU: collects the addresses and numbers for `triton_kernels`.

Nothing is read from the device: the base's counters are kept on the host. A step copies a few numbers to the device,
and a table of addresses if a tensor has moved; no copy synchronises.

The kernels are imported when used: not every machine has Triton.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from ire.optim.steps.adam import Adam
from ire.optim.steps.arithmetic import Number
from ire.optim.steps.boost import Boost
from ire.optim.steps.launch_cache import Known
from ire.optim.steps.measured import Measured
from ire.optim.steps.rules import Numbers, Rule
from ire.optim.tensors.tiles import Tiles, copy_ahead, tiles, triton_type


class Launch:
    """The tensors of one device and one set of types: their table on the device, and its launch."""

    def __init__(self, rule: Rule, kinds: tuple[torch.dtype, ...], device: torch.device) -> None:
        self._rule, self._kinds, self._device = rule, kinds, device
        self._lengths: list[int] = []
        self._addresses: list[int] = []
        self._tiles: Tiles | None = None
        self._table = self._numbers = torch.empty(0)
        self._is_aligned = False

    def stage(self, lengths: list[int], addresses: list[int], numbers: list[Number]) -> None:
        """Set the tensors (`COLUMNS` a tensor, `NUMBERS` a row) of the next launch, without synchronising.

        If only numbers and addresses change, the device's memory is reused, so that a captured `launch` can be
        replayed.
        """
        from ire.optim.steps.triton_kernels import BLOCK, COLUMNS

        if lengths != self._lengths:
            self._tiles, self._lengths = tiles(tuple(lengths), BLOCK, self._device), lengths
            self._table = torch.empty(len(addresses), dtype=torch.int64, device=self._device)
            self._addresses = []
        if addresses != self._addresses:
            copy_ahead(self._table, addresses)
            self._addresses = addresses.copy()
            self._is_aligned = all(a % 16 == 0 for i, a in enumerate(addresses) if i % COLUMNS != COLUMNS - 1)
        if len(numbers) != len(self._numbers):
            self._numbers = torch.empty(len(numbers), dtype=torch.float32, device=self._device)
        copy_ahead(self._numbers, numbers)

    def launch(self, group: dict[str, Any]) -> None:
        """Step all tensors; `group` holds the options of SGD."""
        from ire.optim.steps.triton_kernels import BLOCK, adam_kernel, sgd_kernel  # pyright: ignore[reportUnknownVariableType] - Triton has no types

        p, g, b = map(triton_type, self._kinds[:3])
        options = {"P": p, "G": g, "B": b, "ALIGNED": self._is_aligned, "BLOCK": BLOCK}
        kernel = adam_kernel if self._rule is Adam else sgd_kernel  # pyright: ignore[reportUnknownVariableType]
        if self._rule is not Adam:
            options |= {"MOMENTUM": bool(group["momentum"]), "NESTEROV": bool(group["nesterov"])}
        assert self._tiles is not None  # staged
        self._tiles.launch(kernel, self._table, self._numbers, **options)


class TritonStep:
    """Computes the base's step itself, on the base's own state, in one launch for each type of parameter.

    The first step, which creates the base's state, is `Measured`, and so are double precision and parameters with gaps.
    """

    name = "triton"

    def __init__(self, rule: Rule, *, boost_weight_decay: bool = True) -> None:
        self.rule = rule
        self.boost_weight_decay = boost_weight_decay
        self._known: Known | None = None
        self._launches: dict[tuple[Any, ...], Launch] = {}
        self._otherwise = Measured()

    def step(self, base: Optimizer, boosts: Sequence[Boost]) -> None:
        """One step of `base` on all parameters that have a gradient."""
        known = self._known
        if known is None or not known.lasts(base):
            known = self._known = Known(self.rule, base)
        if not known.fits:
            self._known = None
            self._otherwise.step(base, boosts)
            return
        counts = known.take(boosts)
        gradients = known.in_order()
        where = [gradient.data_ptr() for gradient in gradients]
        is_alone = len(known.works) == 1
        for key, work in known.works.items():
            work.table[1::6] = where if is_alone else [where[i] for i in work.places]
            numbers = [
                number
                for i in work.rows
                for number in packed(
                    self.rule.at(known.groups[i], counts[i] + 1, self.boost_weight_decay), known.kappas[i]
                )
            ]
            launch = self._launches.get(key) or self._launches.setdefault(
                key, Launch(self.rule, key[:3], key[3])
            )
            launch.stage(work.lengths, work.table, numbers)
            launch.launch(work.group)
        known.end()


def packed(numbers: Numbers, kappa: float) -> list[Number]:
    """A row of numbers as the kernels read it, with neutral values for options that are off.

    1 − β is computed in double precision: in single precision, 1 − 0.999 is off by 5e-5.
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
