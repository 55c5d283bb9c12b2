"""Keeps the base's step counters on the host: reading one from a GPU synchronises."""

# Torch does not list its foreach and fused kernels.
# pyright: reportPrivateImportUsage=false, reportPrivateUsage=false

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ire.optim.tensors.typed import numbers


class Counters:
    """`state["step"]` of some parameters: a tensor, a number, or missing, which counts as 0 and stays missing."""

    def __init__(self, states: Sequence[dict[str, Any]]) -> None:
        self._states = states
        self.objects: list[Any] = [state.get("step") for state in states]
        self._places = [i for i, counter in enumerate(self.objects) if isinstance(counter, Tensor)]
        self._numbers = [i for i, c in enumerate(self.objects) if c is not None and not isinstance(c, Tensor)]
        self._tensors: list[Tensor] = [self.objects[i] for i in self._places]
        self._versions = [-1] * len(self._tensors)
        self._counts = [0.0] * len(states)

    @property
    def has_numbers(self) -> bool:
        """Whether some are plain numbers, which are replaced at every step."""
        return bool(self._numbers)

    def read(self) -> tuple[list[float], bool]:
        """The counts, and whether they are as expected: nothing else has written to the counters.

        Only tensors that something else has written to are read, all in one transfer.
        """
        versions = [counter._version for counter in self._tensors]
        is_expected = versions == self._versions and not self._numbers
        if versions != self._versions:
            stale = [n for n, (a, b) in enumerate(zip(versions, self._versions, strict=True)) if a != b]
            for n, value in zip(stale, _values([self._tensors[n] for n in stale]), strict=True):
                self._counts[self._places[n]] = float(value)
            self._versions = versions
        for i in self._numbers:
            self._counts[i] = float(self._states[i]["step"])
        return self._counts, is_expected

    def add_one(self) -> None:
        """Count one more step, in the base's own counters and in the copies on the host."""
        if self._tensors:
            torch._foreach_add_(self._tensors, 1)
            self._versions = [counter._version for counter in self._tensors]
        if len(self._places) == len(self._counts):
            self._counts = [count + 1 for count in self._counts]
        else:
            for i in self._places:
                self._counts[i] += 1
        for i in self._numbers:
            self.objects[i] = self._states[i]["step"] = self._states[i]["step"] + 1


def _values(counters: Sequence[Tensor]) -> Sequence[float]:
    on_one_gpu = counters[0].device.type != "cpu" and len({c.device for c in counters}) == 1
    if on_one_gpu:
        return numbers(torch.stack([c.reshape(()) for c in counters]))
    return [float(counter) for counter in counters]
