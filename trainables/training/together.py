"""Several optimizers that share a model, as one: Muon for the matrices, AdamW for everything else."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer


class Together(Optimizer):
    """Steps every one of `optimizers`, which have no parameter in common; groups and state are theirs.

    A state dict has the form of a single optimizer's: parameters are numbered through.
    """

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self.optimizers = list(optimizers)
        super().__setstate__({})  # hooks and profiling names; no parameter lists of its own

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    @property
    def state(self) -> dict[Tensor, Any]:
        return {p: state for optimizer in self.optimizers for p, state in optimizer.state.items()}

    @property
    def defaults(self) -> dict[str, Any]:
        return {name: value for optimizer in self.optimizers for name, value in optimizer.defaults.items()}

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        loss = self.optimizers[0].step(closure)
        for optimizer in self.optimizers[1:]:
            optimizer.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        raise ValueError("several optimizers share this model: add the group to one of `optimizers`")

    def state_dict(self) -> dict[str, Any]:
        merged: dict[str, Any] = {"state": {}, "param_groups": []}
        first = 0
        for optimizer in self.optimizers:
            part = optimizer.state_dict()
            merged["state"] |= {first + number: state for number, state in part["state"].items()}
            for group in part["param_groups"]:
                merged["param_groups"].append(group | {"params": [first + n for n in group["params"]]})
            first += sum(len(group["params"]) for group in part["param_groups"])
        return merged

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` gave; raises `ValueError`, before anything is changed, if the groups differ."""
        saved = state_dict["param_groups"]
        if len(saved) != len(self.param_groups):
            raise ValueError(
                f"the state has {len(saved)} parameter groups, the optimizers {len(self.param_groups)}"
            )
        first = 0
        for optimizer in self.optimizers:
            count = len(optimizer.param_groups)
            groups, saved = saved[:count], saved[count:]
            numbers = [number for group in groups for number in group["params"]]
            optimizer.load_state_dict(
                {
                    "state": {n - first: state_dict["state"][n] for n in numbers if n in state_dict["state"]},
                    "param_groups": [
                        group | {"params": [n - first for n in group["params"]]} for group in groups
                    ],
                }
            )
            first += len(numbers)
