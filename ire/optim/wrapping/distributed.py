"""IRE's own memory for `torch.distributed.checkpoint`: by name, and sharded as the parameters are.

For sharded parameters `state_dict` returns this worker's part, which only the same number of workers can load. Here
masks and averages are `DTensor`s if their parameters are, so that a checkpoint is resharded like the model's.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from ire.optim.tensors.shards import local
from ire.optim.wrapping.memory import LATER_NUMBERS, NUMBERS, TABLES, Memory

WRAPPERS = ("module.", "_orig_mod.", "_checkpoint_wrapped_module.")
"""What DDP, `torch.compile` and activation checkpointing put into names."""


class DistributedState:
    """One entry of what `torch.distributed.checkpoint` saves and loads (its protocol `Stateful`).

    Every parameter has a mask, zeros before the first refresh, so that the structure is the same at every step;
    averages are included if they are kept. Masks take one byte per coordinate.

    Raises:
        ValueError: a parameter of the optimizer that `model` does not have.
    """

    def __init__(
        self,
        model: nn.Module,
        parameters: list[Tensor],
        memory: Callable[[], Memory],
        remember: Callable[[Memory], None],
        averages: bool,
    ) -> None:
        names: dict[Tensor, str] = {p: _plain(name) for name, p in model.named_parameters()}
        missing = [tuple(p.shape) for p in parameters if p not in names]
        if missing:
            raise ValueError(
                f"the model lacks parameters of the optimizer, of shapes {missing[:3]}: pass the model that is trained"
            )
        self._parameters = {names[p]: p for p in parameters}
        self._memory, self._remember = memory, remember
        self._tables = [name for name in TABLES if name != "averages" or averages]

    def state_dict(self) -> dict[str, Any]:
        """Numbers, and for each table which parameters it has and their tensors."""
        memory = self._memory()
        state: dict[str, Any] = {
            "numbers": {name: getattr(memory, name) for name in (*NUMBERS, *LATER_NUMBERS)}
        }
        for name in self._tables:
            table = getattr(memory, name)
            state[name] = {key: _spread(table.get(p), p, name) for key, p in self._parameters.items()}
            state[f"has_{name}"] = {key: p in table for key, p in self._parameters.items()}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what was loaded into the result of `state_dict`."""
        memory = Memory(**state["numbers"])
        for name in self._tables:
            getattr(memory, name).update(
                {
                    p: local(state[name][key])
                    for key, p in self._parameters.items()
                    if state[f"has_{name}"][key]
                }
            )
        self._remember(memory)


def _plain(name: str) -> str:
    for wrapper in WRAPPERS:
        name = name.replace(wrapper, "")
    return name


def _spread(part: Tensor | None, p: Tensor, table: str) -> Tensor:
    """This worker's part, or zeros, as a tensor that is sharded as `p` is."""
    if part is None:
        wide = torch.promote_types(p.dtype, torch.float32)
        part = torch.zeros_like(local(p), dtype=torch.uint8 if table == "masks" else wide)
    if not isinstance(p, DTensor):
        return part
    return DTensor.from_local(
        part, p.device_mesh, p.placements, run_check=False, shape=p.shape, stride=p.stride()
    )
