"""IRE: a base optimizer whose steps go further along flat coordinates.

    every K steps, from T_w on:   h = diagonal of the Hessian, estimated
                                  n = 1 on the ⌊γp⌋ coordinates of smallest |h|, else 0
    every step, from T_w on:      Δ = the base optimizer's step
                                  θ ← θ + Δ + κ n ⊙ Δ

Wang et al. 2024, Algorithm 1.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ire.optim.curvature.gradients import Spent, gradients_of, has_gradient
from ire.optim.curvature.sources import Refresh, Source, source_named
from ire.optim.mask.refresh import fractions, refreshed
from ire.optim.sam import SAM
from ire.optim.steps.boost import Boost
from ire.optim.steps.paths import Paths
from ire.optim.wrapping.memory import Memory, check_options, packed, unpacked
from ire.optim.wrapping.settings import (
    Settings,
    check_base,
    check_group,
    check_parameters,
    decoupled_decay,
    keep_groups_settings,
    of_group,
)
from ire.optim.wrapping.wrapper import Wrapper


class IRE(Wrapper):
    """Wraps any optimizer and boosts its steps along flat coordinates.

        optimizer = IRE(torch.optim.AdamW(model.parameters(), lr=6e-4), kappa=4, gamma=0.6, start=500)
        for inputs, targets in loader:
            if optimizer.curvature_due:
                sampled_nll(model(inputs)).backward()
                optimizer.update_mask()
            loss(model(inputs), targets).backward()
            optimizer.step()
            optimizer.zero_grad()

    κ multiplies the whole displacement of the base, weight decay included unless `boost_weight_decay` is
    false. The base's buffers (momentum, second moments) never see it. With kappa=0, and in every step
    before `start`, IRE is bitwise the base.

    A parameter group may have its own `kappa`, `gamma` and `lr_max`. One with kappa=0 is left out
    altogether; one with its own gamma is ranked by itself, all others are ranked together. Parameters
    without a curvature are neither ranked nor boosted.

    `curvature` names where h comes from: `sampled` (the paper), `reuse`, `subbatch`, `empirical` and
    `second_moment` are estimates; `random` draws the coordinates instead, `sharpest` boosts exactly those
    that `sampled` would leave alone. gamma=1 boosts all and needs no curvature. See `ire.optim.curvature.sources`.

    `compile` turns the boost into one compiled graph, for AdamW, Adam and SGD the whole step, which then costs
    little more than the plain fused one. Compiling takes up to a minute, at the first boosted step.

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
        curvature: str | Source = "sampled",
        seed: int = 0,
        ema: float = 0.0,
        lr_max: float | None = None,
        boost_weight_decay: bool = True,
        compile: bool = False,
    ) -> None:
        settings = Settings(
            kappa=kappa,
            gamma=gamma,
            interval=interval,
            start=start,
            curvature=curvature,
            seed=seed,
            ema=ema,
            lr_max=lr_max,
            boost_weight_decay=boost_weight_decay,
            compile=compile,
        )
        super().__init__(base)
        check_base(self._inner, settings)
        self.settings = settings
        self._source = source_named(curvature)
        self._memory = Memory()
        self._paths = self._new_paths()
        keep_groups_settings(self._inner)
        self._kappa_in_force = 0.0
        self._spent: Spent | None = None

    # What a training loop asks

    @property
    def curvature_due(self) -> bool:
        """Whether a curvature backward and `update_mask` are wanted before the next step."""
        if self._spent is not None and self._spent.is_cleared():  # in place, perhaps by the model
            self._spent = None
        return self._source.scores is None and self._refresh_due and any(True for _ in self._ranked())

    @property
    def steps(self) -> int:
        """Optimizer steps taken."""
        return self._memory.steps

    @property
    def kappa_in_force(self) -> float:
        """The boost that the last step applied, the largest over the groups; 0 if nothing was boosted."""
        return self._kappa_in_force

    @property
    def skipped_refreshes(self) -> int:
        """Refreshes that kept the old mask because a curvature was not finite."""
        return self._memory.skipped

    @property
    def flat_fraction(self) -> float:
        """Share of coordinates in the current mask, among those that were ranked; 0 before the first.

        Of parameters spread over workers only this worker's part is looked at.
        """
        shares = self.flat_fractions()
        return sum(share * p.numel() for p, share in shares.items()) / max(sum(p.numel() for p in shares), 1)

    def flat_fractions(self) -> dict[Tensor, float]:
        """The share of each parameter's coordinates in the current mask; empty before the first."""
        everywhere = {
            p: 1.0
            for group in self.param_groups
            if self._gamma(group) == 1 and self._kappa(group)
            for p in group["params"]
            if p.requires_grad
        }
        return fractions(self._memory) | everywhere

    @property
    def path(self) -> str:
        """How the next boosted step will be taken: `native`, `rebuilt` or `measured`; see `ire.optim.steps.paths`."""
        return self._paths.best(self._inner).name

    # What a training loop does

    @torch.no_grad()
    def update_mask(self, loss: Tensor | None = None) -> None:
        """Build the mask from the gradients of the curvature backward, and clear these gradients.

        With `loss`, a curvature loss on a graph that is still to be used (`reuse`), its gradients are taken
        here, averaged over all workers, and the parameters' own gradients are left alone:

            logits = model(inputs)
            if optimizer.curvature_due:
                optimizer.update_mask(sampled_nll(logits))
            loss(logits, targets).backward()

        If a curvature is not finite the old mask stays, and `skipped_refreshes` grows by one.

        Raises:
            ValueError: no gradients, those of the last training step among them, sparse ones, or a source
                that needs no backward pass.
        """
        if self._source.scores is not None:
            raise ValueError(
                f"curvature={self.settings.curvature!r} needs no backward pass and builds its mask inside "
                "step(); ask curvature_due before calling update_mask()"
            )
        if loss is not None:
            gradients = gradients_of(loss, self.parameters())
            self._refresh(lambda parameters, _: [gradients[p] for p in parameters], gradients.__contains__)
            return
        if self._spent is not None and any(self._spent.is_it(p.grad) for p in self.parameters()):
            raise ValueError(
                "the gradients still hold those of the last step: call optimizer.zero_grad() after step(), "
                "before the curvature backward, or the mask would rank their sum. If they were cleared otherwise, "
                "do it with set_to_none=True, or ask optimizer.curvature_due after it"
            )
        if not any(has_gradient(p) for p in self.parameters()):
            raise ValueError(
                "update_mask() found no gradients: call backward() on the curvature loss first, as in "
                "sampled_nll(model(inputs)).backward()"
            )
        self._refresh(lambda parameters, _: [p.grad for p in parameters], has_gradient)
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
        boosts: list[Boost] = []
        if not any(kappas):
            loss = self.base.step(closure)
        else:
            loss = self._gradients(closure)
            self._refresh_by_itself()
            boosts = list(self._boosts(kappas))
            self._paths.best(self._inner).step(self._inner, boosts)
        self._kappa_in_force = max((boost.kappa for boost in boosts), default=0.0)
        self._memory.steps += 1
        gradient = next((p.grad for p in self.parameters() if p.grad is not None), None)
        self._spent = None if gradient is None else Spent(gradient)
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        super().zero_grad(set_to_none)
        self._spent = None

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As on the base. The group's coordinates are boosted from the next refresh on."""
        check_group(param_group, self._inner)
        parameters = param_group["params"]
        if isinstance(parameters, Tensor):
            parameters = [parameters]
        elif isinstance(parameters, Iterator):
            parameters = list(parameters)
        param_group = param_group | {"params": parameters}
        check_parameters({**self.defaults, **param_group}, self._inner, self.settings)
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
        if self.steps < self.settings.start:
            return 0.0
        kappa, lr_max = self._of(group, "kappa"), self._of(group, "lr_max")
        return float(kappa if lr_max is None else kappa * float(group["lr"]) / lr_max)

    def _gamma(self, group: dict[str, Any]) -> float:
        return self._of(group, "gamma")

    def _of(self, group: dict[str, Any], name: str) -> Any:
        return of_group(group, name, getattr(self.settings, name), self._inner)

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
            if not self._of(group, "kappa") or gamma == 1:
                continue
            if of_group(group, "gamma", None, self._inner) is None:
                together += group["params"]
            else:
                yield group["params"], gamma
        if together:
            yield together, self.settings.gamma

    def _refresh_by_itself(self) -> None:
        if self._source.scores is None or not self._refresh_due:
            return
        occasion = Refresh(base=self._inner, seed=self.settings.seed, number=self._memory.refreshes)
        self._refresh(
            lambda parameters, number: self._source.scores(parameters, replace(occasion, ranking=number)),
            has_gradient,
        )

    def _refresh(
        self,
        scores: Callable[[Sequence[Tensor], int], Sequence[Tensor] | None],
        known: Callable[[Tensor], bool],
    ) -> None:
        sets = [([p for p in parameters if known(p)], gamma) for parameters, gamma in self._ranked()]
        refreshed(self._memory, sets, scores, self._source, self.settings.ema)

    def _boosts(self, kappas: list[float]) -> Iterator[Boost]:
        """The parameters that this step will boost."""
        for group, kappa in zip(self.param_groups, kappas, strict=True):
            everywhere = self._gamma(group) == 1
            plain = 0.0 if self.settings.boost_weight_decay else decoupled_decay(group, self._inner)
            for p in group["params"]:
                if kappa and p.grad is not None and (everywhere or p in self._memory.masks):
                    yield Boost(p, None if everywhere else self._memory.masks[p], kappa, plain)

    def _new_paths(self) -> Paths:
        settings = self.settings
        return Paths(self._inner, compile=settings.compile, boost_weight_decay=settings.boost_weight_decay)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__() | {"_spent": None}
        del state["_paths"]  # graphs and scratch
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._paths = self._new_paths()
        keep_groups_settings(self._inner)  # copies have no hooks

    def _packed(self, base_state: dict[str, Any]) -> dict[str, Any]:
        return {**base_state, "ire": packed(self._memory, self.parameters())}

    def _load(self, state: dict[str, Any]) -> None:
        state = dict(state)
        memory = unpacked(state.pop("ire", None), self.parameters())
        check_options(state.get("param_groups", ()), self._inner)
        self.base.load_state_dict(state)
        self._memory = memory
