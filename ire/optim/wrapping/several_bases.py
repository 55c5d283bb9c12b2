"""Several base optimizers as one: Muon for the matrices and AdamW for the rest, say, under one global mask."""

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import Optimizer

from ire.optim.wrapping.bases import inside
from ire.optim.wrapping.wrapper import Wrapper


class SeveralBases(Optimizer):
    """Steps all of `bases`; groups and states are theirs, looked up at every access.

    The state dict has torch's form; parameters and groups are numbered across the bases. A group is added to one of
    the bases: `optimizer.base.bases[0].add_param_group(...)`.

    Raises:
        TypeError: one of them is not an optimizer.
        ValueError: the list is empty, or two of them have the same parameter.
    """

    def __init__(self, bases: Sequence[Optimizer]) -> None:
        self.bases = tuple(bases)
        if not self.bases:
            raise ValueError("base must be an optimizer or a list of optimizers, got an empty list")
        for base in self.bases:
            if not isinstance(base, Optimizer):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may have no types
                raise TypeError(
                    f"base must be a list of torch.optim.Optimizer, got {type(base).__name__} in it"
                )
        parameters = [p for group in self.param_groups for p in group["params"]]
        if len(set(parameters)) < len(parameters):
            raise ValueError(
                "a parameter belongs to two of the base optimizers, which would both step it; give it to one"
            )
        super().__setstate__({})  # hooks and profiling names

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # pyright: ignore[reportIncompatibleVariableOverride] - looked up
        return [group for base in self.bases for group in base.param_groups]

    @property
    def state(self) -> MutableMapping[Tensor, Any]:  # pyright: ignore[reportIncompatibleVariableOverride] - looked up
        return _States(self.bases)

    @property
    def defaults(self) -> dict[str, Any]:
        """The options that all of them have, with the first one's values."""
        first, *others = self.bases
        return {name: it for name, it in first.defaults.items() if all(name in o.defaults for o in others)}

    def __getattr__(self, name: str) -> Any:
        """`train` and `eval`, if one of the bases has them."""
        if name in ("train", "eval") and "bases" in self.__dict__:
            able = [getattr(base, name) for base in self.bases if hasattr(base, name)]
            if able:
                return lambda: [switch() for switch in able] and None
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return "[" + ", ".join(map(repr, self.bases)) + "]"

    # torch's stub has closures that return a float
    @torch.no_grad()
    def step(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, closure: Callable[[], Tensor] | None = None
    ) -> Tensor | None:
        """One step of each; a closure is evaluated once."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for base in self.bases:
            base.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        for base in self.bases:
            base.zero_grad(set_to_none)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        raise ValueError(
            "several optimizers are wrapped: add the group to one of them, as in "
            "optimizer.base.bases[0].add_param_group({'params': ...})"
        )

    def state_dict(self) -> dict[str, Any]:
        """Parameters and groups, numbered across the bases; a state dict in another form (Lookahead's) is in `own`."""
        state: dict[int, Any] = {}
        groups: list[dict[str, Any]] = []
        own_forms: dict[int, dict[str, Any]] = {}
        first = 0
        for number, base in enumerate(self.bases):
            saved = base.state_dict()
            if set(saved) == {"state", "param_groups"} and all(
                isinstance(key, int) for key in saved["state"]
            ):
                state |= {first + index: entry for index, entry in saved["state"].items()}
            else:
                own_forms[number] = saved
                saved = {"param_groups": _numbered(base)}
            groups += [
                group | {"params": [first + i for i in group["params"]]} for group in saved["param_groups"]
            ]
            first += sum(len(group["params"]) for group in saved["param_groups"])
        together = {"state": state, "param_groups": groups}
        return together | {"own": own_forms} if own_forms else together

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a result of `state_dict`; nothing changes if the groups do not fit.

        Raises:
            ValueError: the groups differ in number or size.
        """
        saved = list(state_dict["param_groups"])
        sizes = [len(group["params"]) for group in self.param_groups]
        if [len(group["params"]) for group in saved] != sizes:
            raise ValueError(
                "the parameter groups of the state dict differ from those of these optimizers: "
                f"{[len(group['params']) for group in saved]} parameters instead of {sizes}"
            )
        own_forms = state_dict.get("own", {})
        for number, base in enumerate(self.bases):
            groups = [saved.pop(0) for _ in base.param_groups]
            if number in own_forms:
                base.load_state_dict(own_forms[number])
                continue
            # Numbers, or names as in torch.distributed.checkpoint: only their order counts.
            place = {key: i for i, key in enumerate(key for group in groups for key in group["params"])}
            base.load_state_dict(
                {
                    "state": {place[key]: it for key, it in state_dict["state"].items() if key in place},
                    "param_groups": [
                        group | {"params": [place[key] for key in group["params"]]} for group in groups
                    ],
                }
            )

    def __getstate__(self) -> dict[str, Any]:
        """For copies: each base is copied as by `Wrapper`, with the attributes of subclasses."""
        return {"wrapped": [Wrapper(base) for base in self.bases]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.bases = tuple(wrapper.base for wrapper in state["wrapped"])
        super().__setstate__({})


class _States(MutableMapping[Tensor, Any]):
    """The states of several optimizers; each parameter's state is in its own optimizer."""

    def __init__(self, bases: Sequence[Optimizer]) -> None:
        self._bases = bases

    def _home(self, p: Tensor) -> MutableMapping[Tensor, Any]:
        for base in self._bases:
            if p in base.state or any(p is q for group in base.param_groups for q in group["params"]):
                return base.state
        raise KeyError(p)

    def __getitem__(self, p: Tensor) -> Any:
        return self._home(p)[p]

    def __setitem__(self, p: Tensor, value: Any) -> None:
        self._home(p)[p] = value

    def __delitem__(self, p: Tensor) -> None:
        del self._home(p)[p]

    def get(self, p: Tensor, default: Any = None) -> Any:
        return next((base.state[p] for base in self._bases if p in base.state), default)

    def __contains__(self, p: object) -> bool:
        return any(p in base.state for base in self._bases)

    def __iter__(self) -> Iterator[Tensor]:
        for base in self._bases:
            yield from base.state

    def __len__(self) -> int:
        return sum(len(base.state) for base in self._bases)


def _numbered(base: Optimizer) -> list[dict[str, Any]]:
    """The groups of a base, each parameter replaced by its number."""
    groups: list[dict[str, Any]] = []
    first = 0
    for group in base.param_groups:
        last = first + len(group["params"])
        groups.append(group | {"params": list(range(first, last))})
        first = last
    return groups


def bases_of(optimizer: Optimizer) -> Sequence[Optimizer]:
    """The optimizers that take the steps: those of `SeveralBases`, else the one itself."""
    return optimizer.bases if isinstance(optimizer, SeveralBases) else (optimizer,)


def owner_of(group: dict[str, Any], optimizer: Optimizer) -> Optimizer:
    """The one of `bases_of` with that group; the first for a group that is yet to be added."""
    bases = bases_of(optimizer)
    owners = (base for base in bases[1:] if any(group is own for own in base.param_groups))
    return next(owners, bases[0])


def innermost(optimizer: Optimizer) -> Optimizer:
    """The optimizer that a wrapper such as Lookahead steps, with the state of the step; any other one is itself."""
    if isinstance(optimizer, SeveralBases):
        return SeveralBases([innermost(base) for base in optimizer.bases])
    *_, last = inside(optimizer)
    return last


def as_one(base: Optimizer | Sequence[Optimizer]) -> Optimizer:
    """A list of optimizers as a single one; one optimizer as it is."""
    if isinstance(base, list | tuple):
        return SeveralBases(base)
    return cast(Optimizer, base)  # `Wrapper` refuses anything else
