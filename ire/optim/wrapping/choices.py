"""κ and γ of each parameter, and which parameters are ranked together.

Settings by name come first, then those of the parameter's group, then the optimizer's own. Parameters that get γ from
a pattern or their group are ranked separately, all others together, and each such set is divided further by block or
tensor if `ranked_by` says so.
"""

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from ire.optim.tensors.identity import same
from ire.optim.wrapping.groups import COMPLEX, OF_GROUPS, check_group, check_own, of_group
from ire.optim.wrapping.settings import ByName, Schedule, Settings, kappa_at

_NUMBER = re.compile(r"(?:^|\.)\d+(?=\.|$)")


def block_of(name: str) -> str:
    """The name up to its first number, as in `layers.3`, which is a block; else without the last part."""
    number = _NUMBER.search(name)
    return name[: number.end()] if number else name.rpartition(".")[0]


Moving = tuple[dict[str, Any], Tensor, float, float]


class Choices:
    """κ and γ of each parameter, and the sets that are ranked.

    Names are those of `named_parameters`, else those in the groups of the base (`param_names`: torch
    fills them in when an optimizer is built from `model.named_parameters()`).

    Raises:
        ValueError: names are needed and there are none, a pattern that fits no name, or a setting outside its range.
    """

    def __init__(
        self,
        base: Optimizer,
        settings: Settings,
        named_parameters: Iterable[tuple[str, Tensor]] | None = None,
    ) -> None:
        self._base = base
        self.settings = settings
        self._names = _names_of(named_parameters)
        self._own: dict[Tensor, tuple[Hashable, Mapping[str, Any]]] = {}
        self._looked_at: set[Tensor] = set()
        self._given: list[list[Any]] = []
        self._looked_up: list[list[Any]] = []
        """κ, γ and lr_max of each group, as of `_given` and `_looked_up_for`."""
        self._looked_up_for: Settings | None = None
        self._groups: list[dict[str, Any]] = []
        self._of_groups: list[tuple[float, Any]] = []
        self._parameters: list[Tensor] = []
        self._boosted: list[Moving] = []
        self._look()
        by_name = settings.by_name
        for pattern in () if by_name is None or callable(by_name) else by_name:
            if not any(fnmatchcase(name, pattern) for name in self.names().values()):
                raise ValueError(
                    f"by_name: no parameter has a name like {pattern!r}; the names are "
                    f"{', '.join(list(self.names().values())[:8])} ..."
                )

    @property
    def _asks_names(self) -> bool:
        return self.settings.by_name is not None or self.settings.ranked_by not in ("model", "tensor")

    def names(self) -> dict[Tensor, str]:
        """The names of all parameters whose name is known."""
        of_groups = {
            p: name
            for group in self._base.param_groups
            for p, name in zip(group["params"], group.get("param_names", ()), strict=False)
        }
        return of_groups | self._names

    def _look(self) -> None:
        """Check new options of groups, and look up the settings by name of new parameters."""
        groups = self._base.param_groups
        given = [[group.get(name) for name in OF_GROUPS] for group in groups]
        if given != self._given or self.settings is not self._looked_up_for:
            for group in groups:
                check_group(group, self._base)
            self._looked_up = [[self._of(group, name) for name in OF_GROUPS] for group in groups]
            self._given, self._looked_up_for = given, self.settings
        if not self._asks_names:
            return
        parameters = [p for group in self._base.param_groups for p in group["params"]]
        if self._looked_at.issuperset(parameters):
            return
        names = self.names()
        if not any(p in names for p in parameters):
            raise ValueError(
                "by_name and ranked_by need the names of the parameters: give "
                "named_parameters=model.named_parameters(), or build the base from model.named_parameters()"
                + ("; the given names are those of other parameters" if names else "")
            )
        for group in self._base.param_groups:
            for p in group["params"]:
                if p not in self._looked_at and p in names:
                    self._own[p] = _own(names[p], self.settings.by_name)
                own: Mapping[str, Any] = self._own[p][1] if p in self._own else {}
                if p.is_complex() and own.get("kappa", self._of(group, "kappa")) != 0:
                    raise ValueError(COMPLEX)
        self._looked_at = set(parameters)

    def boosted(self, step: int) -> list[Moving]:
        """(group, parameter, κ, γ) of all parameters whose κ is not 0 in that step.

        Returns the same list object as the last call if nothing has changed; do not modify it.
        """
        if step < self.settings.start:
            return []
        self._look()
        groups = self._base.param_groups
        of_groups = [
            (_scaled(kappa, lr_max, group, step), gamma)
            for group, (kappa, gamma, lr_max) in zip(groups, self._looked_up, strict=True)
        ]
        parameters = list(chain.from_iterable([group["params"] for group in groups]))
        is_old = of_groups == self._of_groups and not self._own
        if is_old and same(groups, self._groups) and same(parameters, self._parameters):
            return self._boosted
        self._of_groups, self._groups, self._parameters, self._boosted = of_groups, [*groups], parameters, []
        for group, (kappa_of_group, gamma_of_group) in zip(groups, of_groups, strict=True):
            for p in group["params"]:
                kappa, gamma = kappa_of_group, gamma_of_group
                if p in self._own:
                    own = self._own[p][1]
                    kappa, lr_max = (own.get(name, self._of(group, name)) for name in ("kappa", "lr_max"))
                    kappa, gamma = _scaled(kappa, lr_max, group, step), own.get("gamma", gamma)
                if kappa:
                    self._boosted.append((group, p, kappa, gamma))
        return self._boosted

    def ranked(self, step: int) -> Iterator[tuple[list[Tensor], float]]:
        """Parameters that are ranked together, and the γ of each such set; none whose κ is 0, or whose γ is 1."""
        self._look()
        apart: dict[Hashable, tuple[list[Tensor], float]] = {}
        together: dict[Hashable, tuple[list[Tensor], float]] = {}
        names = self.names() if self._asks_names else {}
        for number, group in enumerate(self._base.param_groups):
            has_gamma = of_group(group, "gamma", None, self._base) is not None
            kappa_of_group, gamma_of_group = self._of(group, "kappa"), self._of(group, "gamma")
            for p in group["params"]:
                key, own = self._own.get(p, (None, {}))
                kappa, gamma = own.get("kappa", kappa_of_group), own.get("gamma", gamma_of_group)
                if not kappa_at(kappa, step) or gamma == 1:
                    continue
                if "gamma" in own:
                    owner: Hashable = ("name", key)
                else:
                    owner = ("group", number) if has_gamma else None
                sets = together if owner is None else apart
                sets.setdefault((owner, self._part(p, names)), ([], gamma))[0].append(p)
        yield from apart.values()
        yield from together.values()

    def _part(self, p: Tensor, names: Mapping[Tensor, str]) -> Hashable:
        by = self.settings.ranked_by
        if by == "model":
            return None
        if by == "tensor":
            return id(p)
        name = names.get(p)
        if name is None:
            return None
        block = by(name) if callable(by) else block_of(name)
        if not isinstance(block, Hashable):  # pyright: ignore[reportUnnecessaryIsInstance] - the user's function gave it
            raise ValueError(
                f"ranked_by must give a hashable value, such as a string, got {block!r} for {name!r}"
            )
        return block

    def _of(self, group: dict[str, Any], name: str) -> Any:
        return of_group(group, name, getattr(self.settings, name), self._base)


def _scaled(kappa: float | Schedule, lr_max: float | None, group: dict[str, Any], step: int) -> float:
    """κ of a group in that step."""
    now = kappa_at(kappa, step)
    return float(now if lr_max is None else now * float(group["lr"]) / lr_max)


def _names_of(named_parameters: Iterable[tuple[str, Tensor]] | None) -> dict[Tensor, str]:
    mistake = (
        "named_parameters must be pairs of a name and a parameter, as model.named_parameters() gives them, got "
        f"{type(named_parameters).__name__}"
    )
    try:
        names = {p: name for name, p in named_parameters or ()}
    except (TypeError, ValueError) as error:
        raise ValueError(mistake) from error
    are_pairs = all(isinstance(p, Tensor) and isinstance(name, str) for p, name in names.items())  # pyright: ignore[reportUnnecessaryIsInstance] - the user gave them
    if not are_pairs:
        raise ValueError(mistake)
    return names


def _own(name: str, by_name: ByName | None) -> tuple[Hashable, Mapping[str, Any]]:
    """(the pattern that matched, or the values; the settings) for the parameter of that name."""
    if by_name is None:
        return None, {}
    if callable(by_name):
        given = by_name(name)
        found: Mapping[str, Any] = {} if given is None else given
        check_own(found, f"by_name({name!r})")
        return tuple(sorted(found.items(), key=str)), found
    pattern = next((pattern for pattern in by_name if fnmatchcase(name, pattern)), None)
    if pattern is None:
        return None, {}
    check_own(by_name[pattern], f"by_name[{pattern!r}]")
    return pattern, by_name[pattern]
