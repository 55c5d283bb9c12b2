"""The state that a training function saves and continues from, with the random generators that belong to it."""

import random
import sys
from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.distributed as dist

from ire.invalid_input import InvalidInput
from ire.plain_values import is_list, is_tuple


class SavedState:
    """The function's part of a checkpoint: its own state, and every worker's generators at the last report."""

    def __init__(self) -> None:
        self._state: Any = None
        self._generators: Mapping[str, Any] | None = None
        self._others: list[dict[str, Any]] = []  # generators of workers 1, 2, ... at the last report

    def load(self, checkpoint: Mapping[str, Any], rank: int) -> None:
        """Take the state from a checkpoint, on the worker of that rank."""
        kept = checkpoint["generators"]  # older checkpoints hold only those of worker 0
        self._generators = kept[rank if rank < len(kept) else 0] if is_list(kept) else kept
        self._state = checkpoint["state"]

    def read(self) -> Any:
        """The state that was loaded, with the generators set to what they were; None if none was loaded."""
        if self._generators is not None:
            set_generators(self._generators)
        return self._state

    def reported(self, world_size: int) -> None:
        """Note the generators of workers 1, 2, ...; a collective operation."""
        if world_size > 1:
            found: list[Any] = [None] * world_size
            dist.all_gather_object(found, generators())
            self._others = found[1:]

    def written(self, state: Any) -> dict[str, Any]:
        """The part of a checkpoint that `load` takes; raises `InvalidInput` if `state` could not be read back."""
        check_plain(state)
        return {"generators": [generators(), *self._others], "state": state}


def check_plain(value: Any, *, where: str = "state") -> None:
    """Raise `InvalidInput` with the place unless `value` consists of tensors and plain Python values at every depth.

    Checkpoints are read without running code, which allows nothing else.
    """
    if value is None or isinstance(value, bool | int | float | str | torch.Tensor):
        return
    if isinstance(value, Mapping):
        for key, entry in cast(Mapping[Any, Any], value).items():
            if not isinstance(key, str | int):
                raise InvalidInput(
                    f"trial.save: the key {key!r} in {where} must be a string or a whole number"
                )
            check_plain(entry, where=f"{where}[{key!r}]")
    elif is_list(value) or is_tuple(value):
        for index, entry in enumerate(value):
            check_plain(entry, where=f"{where}[{index}]")
    else:
        raise InvalidInput(
            f"trial.save: {where} is a {type(value).__name__}: must be tensors and plain Python values, as in a "
            "state_dict; a checkpoint is read without running code"
        )


def generators() -> dict[str, Any]:
    """The state of every global random generator of this process, as plain values."""
    version, numbers, gauss = random.getstate()
    state: dict[str, Any] = {"torch": torch.get_rng_state(), "python": [version, list(numbers), gauss]}
    if "numpy" in sys.modules:
        name, keys, *rest = sys.modules["numpy"].random.get_state()
        state["numpy"] = [name, keys.tolist(), *rest]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_generators(state: Mapping[str, Any]) -> None:
    """Restore the state from `generators`, for the generators that this process has."""
    torch.set_rng_state(state["torch"].cpu())
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    if "numpy" in state and "numpy" in sys.modules:
        sys.modules["numpy"].random.set_state(tuple(state["numpy"]))
    if "cuda" in state and torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([each.cpu() for each in state["cuda"]])
