"""IRE: a base optimizer whose steps go further along flat coordinates.

    every K steps, from T_w on:   h = diagonal of the Hessian, estimated
                                  n = 1 on the ⌊γp⌋ coordinates of smallest |h|, else 0
    every step, from T_w on:      Δ = the base optimizer's step
                                  θ ← θ + Δ + κ n ⊙ Δ

Wang et al. 2024, Algorithm 1.
"""

import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ire.checkpoint import Memory, packed, unpacked
from ire.curvature import source_named
from ire.displacement import Boost, step_and_boost
from ire.flattest import flattest
from ire.sam import SAM
from ire.settings import Settings, check_gamma, check_kappa
from ire.wrapper import Wrapper


class IRE(Wrapper):
    """Wraps any optimizer; the whole displacement, weight decay included, is boosted.

        optimizer = IRE(torch.optim.AdamW(model.parameters(), lr=6e-4), kappa=4, gamma=0.6, start=500)
        for inputs, targets in loader:
            if optimizer.curvature_due:
                sampled_nll(model(inputs)).backward()
                optimizer.update_mask()
            loss(model(inputs), targets).backward()
            optimizer.step()
            optimizer.zero_grad()

    The base's buffers (momentum, second moments) never see the boost. With kappa=0, and in every step
    before `start`, it is bitwise the base optimizer.

    A parameter group may have its own `kappa` and `gamma`. One with kappa=0 is left out altogether; one
    with its own gamma is ranked by itself, all others are ranked together. Parameters that the curvature
    pass gave no gradient are neither ranked nor boosted.

    `curvature` is `sampled` (the paper) or a control: `random` draws coordinates instead of ranking them,
    `sharpest` boosts exactly those that `sampled` would leave alone. gamma=1, the third control, boosts all
    coordinates and needs no curvature.

    Raises:
        ValueError: an argument outside its range, or a base that cannot be boosted.
        TypeError: `base` is not an optimizer.
    """

    def __init__(
        self,
        base: Optimizer,
        *,
        kappa: float,
        gamma: float,
        interval: int = 10,
        start: int = 0,
        curvature: str = "sampled",
        seed: int = 0,
    ) -> None:
        settings = Settings(
            kappa=kappa, gamma=gamma, interval=interval, start=start, curvature=curvature, seed=seed
        )
        super().__init__(base)
        self.settings = settings
        self._source = source_named(curvature)
        self._memory = Memory()
        self._kappa_in_force = 0.0
        self._spent: weakref.ref[Tensor] | None = None
        _check_base(self._inner)
        for group in self.param_groups:
            _check_group(group)

    # What a training loop asks

    @property
    def curvature_due(self) -> bool:
        """Whether a curvature backward and `update_mask` are wanted before the next step."""
        return self._source.scores is None and self._refresh_due and any(True for _ in self._ranked())

    @property
    def steps(self) -> int:
        """Optimizer steps taken."""
        return self._memory.steps

    @property
    def kappa_in_force(self) -> float:
        """The boost that the last step applied, the largest over the groups; 0 before `start`."""
        return self._kappa_in_force

    @property
    def skipped_refreshes(self) -> int:
        """Refreshes that kept the old mask because a curvature was not finite."""
        return self._memory.skipped

    @property
    def flat_fraction(self) -> float:
        """Share of coordinates in the current mask, among those that were ranked; 0 before the first."""
        masks = self._masks().values()
        ones = sum(_ones(mask) for mask in masks)
        return ones / max(sum(mask.numel() for mask in masks), 1)

    def flat_fractions(self) -> dict[Tensor, float]:
        """The share of each parameter's coordinates in the current mask; empty before the first."""
        return {p: _ones(mask) / max(mask.numel(), 1) for p, mask in self._masks().items()}

    # What a training loop does

    @torch.no_grad()
    def update_mask(self) -> None:
        """Build the mask from the gradients of the curvature backward, and clear these gradients.

        If one of them is not finite the old mask stays, and `skipped_refreshes` grows by one.

        Raises:
            ValueError: no gradients, those of the last training step under them, sparse ones, or a source
                that needs no backward pass.
        """
        if self._source.scores is not None:
            raise ValueError(
                f"curvature={self.settings.curvature!r} needs no backward pass and builds its mask inside "
                "step(); ask curvature_due before calling update_mask()"
            )
        if not any(p.grad is not None for p in self.parameters()):
            raise ValueError(
                "update_mask() found no gradients: call backward() on the curvature loss first, as in "
                "sampled_nll(model(inputs)).backward()"
            )
        if self._spent is not None and any(_same(p.grad, self._spent()) for p in self.parameters()):
            raise ValueError(
                "the gradients still hold those of the last step: call optimizer.zero_grad() after step(), "
                "before the curvature backward, or the mask would rank their sum"
            )
        if any(p.grad is not None and p.grad.layout != torch.strided for p in self.parameters()):
            raise ValueError("IRE cannot rank sparse gradients; build the embedding with sparse=False")
        self._refresh(lambda parameters: [p.grad for p in parameters], lambda p: p.grad is not None)
        for p in self.parameters():
            p.grad = None

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """One step of the base, boosted. A closure is evaluated once, by SAM twice, before anything moves.

        Raises:
            ValueError: the mask is due and no curvature was given. Nothing has changed then.
        """
        if self.curvature_due:
            raise ValueError(
                f"the mask is due at step {self.steps} (every {self.settings.interval} steps from step "
                f"{self.settings.start}) but no curvature was given: before step(), if "
                "optimizer.curvature_due, run sampled_nll(model(inputs)).backward() and "
                "optimizer.update_mask()"
            )
        kappas = [self._kappa(group) for group in self.param_groups]
        if not any(kappas):
            loss = self.base.step(closure)
        else:
            loss = self._gradients(closure)
            self._refresh_by_itself()
            step_and_boost(self._inner.step, list(self._boosts(kappas)))
        self._kappa_in_force = max(kappas)
        self._memory.steps += 1
        gradient = next((p.grad for p in self.parameters() if p.grad is not None), None)
        self._spent = None if gradient is None else weakref.ref(gradient)
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        super().zero_grad(set_to_none)
        self._spent = None

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As on the base. The group's coordinates are boosted from the next refresh on."""
        _check_group(param_group)
        super().add_param_group(param_group)

    # How

    @property
    def _inner(self) -> Optimizer:
        """The optimizer that takes the step, inside SAM if there is one."""
        return self.base.base if isinstance(self.base, SAM) else self.base

    def _gradients(self, closure: Callable[[], Tensor] | None) -> Tensor | None:
        """Bring the gradients up to date; returns the loss."""
        if isinstance(self.base, SAM):
            return self.base.gradient(closure)
        if closure is None:
            return None
        with torch.enable_grad():
            return closure()

    def _kappa(self, group: dict[str, Any]) -> float:
        """κ of this group in the step that comes."""
        return group.get("kappa", self.settings.kappa) if self.steps >= self.settings.start else 0.0

    def _gamma(self, group: dict[str, Any]) -> float:
        return group.get("gamma", self.settings.gamma)

    @property
    def _refresh_due(self) -> bool:
        last = self._memory.refreshed_at
        started = self.steps >= self.settings.start
        return started and (last is None or self.steps - last >= self.settings.interval)

    def _ranked(self) -> Iterator[tuple[list[Tensor], float]]:
        """Parameters that are ranked together, and the γ of each such set."""
        together = []
        for group in self.param_groups:
            gamma = self._gamma(group)
            if not self._kappa(group) or gamma == 1:
                continue
            if "gamma" in group:
                yield group["params"], gamma
            else:
                together += group["params"]
        if together:
            yield together, self.settings.gamma

    def _refresh_by_itself(self) -> None:
        if self._source.scores is None or not self._refresh_due:
            return

        def scores(parameters: Sequence[Tensor]) -> Sequence[Tensor] | None:
            return self._source.scores(self._inner, parameters, self.settings.seed, self._memory.refreshes)

        self._refresh(scores, lambda p: p.requires_grad)

    def _refresh(
        self,
        scores: Callable[[Sequence[Tensor]], Sequence[Tensor]],
        known: Callable[[Tensor], bool],
    ) -> None:
        """Rank the parameters whose curvature is known, or keep the old masks if it is not finite."""
        masks: dict[Tensor, Tensor] | None = {}
        for candidates, gamma in self._ranked():
            parameters = [p for p in candidates if known(p)]
            coordinates = sum(p.numel() for p in parameters)
            if not coordinates:
                continue
            flat = flattest(scores(parameters), math.floor(gamma * coordinates))
            if flat is None:
                masks = None
                break
            masks.update(zip(parameters, flat, strict=True))
        if masks is None:
            self._memory.skipped += 1
        else:
            if self._source.inverted:
                for mask in masks.values():
                    mask.bitwise_xor_(1)
            self._memory.masks = masks
        self._memory.refreshes += 1
        self._memory.refreshed_at = self.steps

    def _boosts(self, kappas: list[float]) -> Iterator[Boost]:
        """The parameters that this step will boost."""
        for group, kappa in zip(self.param_groups, kappas, strict=True):
            everywhere = self._gamma(group) == 1
            for p in group["params"]:
                if kappa and p.grad is not None and (everywhere or p in self._memory.masks):
                    yield Boost(p, None if everywhere else self._memory.masks[p], kappa)

    def _masks(self) -> dict[Tensor, Tensor]:
        """The current masks, those of groups with γ=1 included."""
        everywhere = {
            p: torch.ones((), dtype=torch.uint8).expand(p.shape)
            for group in self.param_groups
            if self._gamma(group) == 1 and self._kappa(group)
            for p in group["params"]
            if p.requires_grad
        }
        return self._memory.masks | everywhere

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_spent": None}

    def _packed(self, base_state: dict[str, Any]) -> dict[str, Any]:
        return {**base_state, "ire": packed(self._memory, self.parameters())}

    def _load(self, state: dict[str, Any]) -> None:
        state = dict(state)
        memory = unpacked(state.pop("ire", None), self.parameters())
        self.base.load_state_dict(state)
        self._memory = memory


def _same(gradient: Tensor | None, spent: Tensor | None) -> bool:
    return gradient is not None and gradient is spent


def _ones(mask: Tensor) -> int:
    return int(mask.sum(dtype=torch.int64))


def _check_group(group: dict[str, Any]) -> None:
    if "kappa" in group:
        check_kappa(group["kappa"])
    if "gamma" in group:
        check_gamma(group["gamma"])


def _check_base(base: Optimizer) -> None:
    if isinstance(base, torch.optim.LBFGS):
        raise ValueError(
            "IRE cannot boost LBFGS: it builds its curvature pairs from the steps it believes it took; "
            "use a first-order base"
        )
    if isinstance(base, torch.optim.SparseAdam):
        raise ValueError("IRE cannot rank sparse gradients; use a dense embedding and Adam or AdamW")
