"""When the state of a training function is written to a checkpoint, and what happens if that fails."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainables.training.checkpoint import save_checkpoint


class Saver:
    """Writes the checkpoints of one trial at `location`, at most one per `seconds`; none if `location` is None.

    An `OSError` goes to `on_trouble`, or is raised if that is None.
    """

    def __init__(
        self, location: str | Path | None, *, seconds: float, on_trouble: Callable[[OSError], None] | None
    ) -> None:
        self._location, self._seconds, self._on_trouble = location, seconds, on_trouble
        self._saved_at = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether a checkpoint would be written now."""
        return self._location is not None and time.monotonic() - self._saved_at >= self._seconds

    def write(self, state: dict[str, Any]) -> bool:
        """Write a checkpoint; False if it could not be written."""
        assert self._location is not None
        try:
            save_checkpoint(state, self._location)
        except OSError as error:
            if self._on_trouble is None:
                raise
            self._on_trouble(error)
            return False
        self._saved_at = time.monotonic()
        return True
