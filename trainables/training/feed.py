"""Copies batches to the device one step ahead, on a separate stream, so that training never waits.

A copy from ordinary memory waits until the device has finished all queued work; one from pinned memory on another
stream runs beside the previous step.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch

from trainables.data.batch import Batch, leaves, mapped, moved


class Feed:
    """Hands out this worker's parts of one batch after another, on the device.

    `parts` cuts a batch into them. On an accelerator `fetch` starts the copy of the next parts; elsewhere nothing is
    copied ahead.
    """

    def __init__(self, parts: Callable[[Batch], list[Batch]], device: torch.device) -> None:
        self._parts, self._device = parts, device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._ahead: list[Batch] | None = None

    def take(self, batches: Iterator[Batch]) -> list[Batch]:
        """The parts of the next batch."""
        if self._stream is None:
            return [moved(part, self._device) for part in self._parts(next(batches))]
        parts, self._ahead = self._ahead or self._copied(batches, self._stream), None
        current = torch.cuda.current_stream(self._device)
        current.wait_stream(self._stream)
        for part in parts:
            for tensor in leaves(part):
                if isinstance(tensor, torch.Tensor):
                    tensor.record_stream(current)  # its memory may be reused only after this step
        return parts

    def fetch(self, batches: Iterator[Batch]) -> None:
        """Start the copy of the next batch; call it after the work of the current step is queued."""
        if self._stream is not None:
            self._ahead = self._copied(batches, self._stream)

    def _copied(self, batches: Iterator[Batch], stream: torch.cuda.Stream) -> list[Batch]:
        parts = self._parts(next(batches))
        with torch.cuda.stream(stream):
            return [moved(mapped(_pinned, part), self._device) for part in parts]

    def forget(self) -> None:
        """Drop the prefetched batch, after `batches` was replaced."""
        self._ahead = None


def _pinned(leaf: Any) -> Any:
    if not isinstance(leaf, torch.Tensor) or leaf.device.type != "cpu" or leaf.is_pinned():
        return leaf
    return leaf.pin_memory()
