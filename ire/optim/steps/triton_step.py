"""The boosted step in one launch on a GPU: collects the addresses and numbers for `triton_kernels`.

Nothing is read from the device: the base's counters are kept on the host. A step copies one small table to the device,
addresses and numbers, without synchronising.

The kernels are imported when used: not every machine has Triton.
"""

from array import array
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
        self._rule, self._device = rule, device
        self._kinds = [triton_type(kind) for kind in kinds]
        self._lengths: list[int] = []
        self._tiles: Tiles | None = None
        self._cells = self._table = self._numbers = torch.empty(0)
        self._is_aligned = False

    def stage(self, lengths: list[int], table: "array[int]", numbers: list[Number], is_aligned: bool) -> None:
        """Set the tensors (`COLUMNS` a tensor, `NUMBERS` a row) of the next launch, without synchronising.

        If only numbers and addresses change, the device's memory is reused, so that a captured `launch` can be
        replayed.
        """
        from ire.optim.steps.triton_kernels import BLOCK

        if len(numbers) % 2:
            numbers = [*numbers, 0.0]  # whole cells of 8 bytes
        content = table[:]
        content.frombytes(array("f", map(float, numbers)).tobytes())
        cells = torch.frombuffer(content, dtype=torch.int64)
        if lengths != self._lengths or cells.numel() != self._cells.numel():
            self._tiles, self._lengths = tiles(tuple(lengths), BLOCK, self._device), lengths
            self._cells = torch.empty(cells.numel(), dtype=torch.int64, device=self._device)
            self._table = self._cells[: len(table)]
            self._numbers = self._cells[len(table) :].view(torch.float32)
        copy_ahead(self._cells, cells)
        self._is_aligned = is_aligned

    def launch(self, group: dict[str, Any]) -> None:
        """Step all tensors; `group` holds the options of SGD."""
        from ire.optim.steps.triton_kernels import BLOCK, adam_kernel, sgd_kernel  # pyright: ignore[reportUnknownVariableType] - Triton has no types

        p, g, b = self._kinds
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
        known.take(boosts)
        addresses = known.addresses()
        is_alone = len(known.works) == 1
        for key, work in known.works.items():
            is_aligned = work.point_to(addresses if is_alone else [addresses[i] for i in work.places])
            numbers = [
                number
                for i in work.rows
                for number in packed(
                    self.rule.at(known.groups[i], known.counters[i] + 1, self.boost_weight_decay),
                    known.kappas[i],
                )
            ]
            launch = self._launches.get(key) or self._launches.setdefault(
                key, Launch(self.rule, key[:3], key[3])
            )
            launch.stage(work.lengths, work.table, numbers, is_aligned)
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
