"""A base's step counters on the host: reading one from a GPU would wait for all its pending work."""

from collections.abc import Sequence

import torch
from torch import Tensor


class HostCounts:
    """Remembers counters that it has read or raised itself; one that anybody else has touched is read again."""

    def __init__(self) -> None:
        self._known: dict[
            int, tuple[Tensor, int, float]
        ] = {}  # by identity: the tensor, its version, its value

    def of(self, counters: Sequence[Tensor | float]) -> list[float]:
        """The value of each; those that are not known are brought from the device all at once."""
        stale = [c for c in counters if isinstance(c, Tensor) and not self._is_known(c)]
        if stale:
            same = {c.device for c in stale} != {torch.device("cpu")} and len({c.device for c in stale}) == 1
            values = torch.stack([c.reshape(()) for c in stale]).tolist() if same else map(float, stale)
            for counter, value in zip(stale, values, strict=True):
                self._known[id(counter)] = (counter, counter._version, float(value))
        return [self._known[id(c)][2] if isinstance(c, Tensor) else float(c) for c in counters]

    def raise_by_one(self, counters: Sequence[Tensor]) -> None:
        """One more step in each, on the device and here; all must be known (`of`)."""
        if not counters:
            return
        values = self.of(counters)
        torch._foreach_add_(list(counters), 1)
        self._known = {id(c): (c, c._version, value + 1) for c, value in zip(counters, values, strict=True)}

    def _is_known(self, counter: Tensor) -> bool:
        known = self._known.get(id(counter))
        return known is not None and known[0] is counter and known[1] == counter._version
