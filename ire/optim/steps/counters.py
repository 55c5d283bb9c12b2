"""Keeps the base's step counters on the host: reading one from a GPU synchronises."""

# Torch does not list its foreach and fused kernels.
# pyright: reportPrivateImportUsage=false, reportPrivateUsage=false

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from ire.optim.tensors.typed import numbers

_VERSION = attrgetter("_version")
_ONE = torch.ones((), dtype=torch.int64, device="cpu")


class Counters:
    """`state["step"]` of some parameters: a tensor, a number, or missing, which counts as 0 and stays missing."""

    def __init__(self, states: Sequence[dict[str, Any]]) -> None:
        self._states = states
        self.objects: list[Any] = [state.get("step") for state in states]
        self._places = [i for i, counter in enumerate(self.objects) if isinstance(counter, Tensor)]
        self._numbers = [i for i, c in enumerate(self.objects) if c is not None and not isinstance(c, Tensor)]
        self._tensors: list[Tensor] = [self.objects[i] for i in self._places]
        self._versions = [-1] * len(self._tensors)
        self._read = [0.0] * len(states)
        self._since = 0
        """Steps since tensors were read."""
        self._grows = [0] * len(states)
        for i in self._places:
            self._grows[i] = 1

    @property
    def has_numbers(self) -> bool:
        """Whether some are plain numbers, which are replaced at every step."""
        return bool(self._numbers)

    def __getitem__(self, i: int) -> float:
        """The count of parameter i, as of the last `look` and `add_one`."""
        return self._read[i] + self._grows[i] * self._since

    def look(self) -> bool:
        """Bring the counts up to date; whether they were, so that nothing else has written to the counters.

        Only tensors that something else has written to are read, all in one transfer.
        """
        versions = list(map(_VERSION, self._tensors))
        is_expected = versions == self._versions and not self._numbers
        if versions != self._versions:
            stale = [n for n, (a, b) in enumerate(zip(versions, self._versions, strict=True)) if a != b]
            for n, value in zip(stale, _values([self._tensors[n] for n in stale]), strict=True):
                self._read[self._places[n]] = float(value) - self._since
            self._versions = versions
        for i in self._numbers:
            self._read[i] = float(self._states[i]["step"])
        return is_expected

    def add_one(self) -> None:
        """Count one more step, in the base's own counters and in the copies on the host."""
        if self._tensors:
            count_one_more(self._tensors)
            self._versions = list(map(_VERSION, self._tensors))
        self._since += 1
        for i in self._numbers:
            self.objects[i] = self._states[i]["step"] = self._states[i]["step"] + 1


def count_one_more(counters: list[Tensor]) -> None:
    """Add 1 to each. On the CPU a number would become a tensor anew for each, which takes seven times as long."""
    if counters[0].is_cpu:
        torch._foreach_add_(counters, _ONE, alpha=1)
    else:
        torch._foreach_add_(counters, 1)


def _values(counters: Sequence[Tensor]) -> Sequence[float]:
    on_one_gpu = counters[0].device.type != "cpu" and len({c.device for c in counters}) == 1
    if on_one_gpu:
        return numbers(torch.stack([c.reshape(()) for c in counters]))
    return [float(counter) for counter in counters]
