"""IRE: a base optimizer whose steps go further along flat coordinates.

    every K steps, from T_w on:   h = diagonal of the Hessian, estimated
                                  n = 1 on the ⌊γp⌋ coordinates of smallest |h|, else 0
    every step, from T_w on:      Δ = the base optimizer's step
                                  θ ← θ + Δ + κ n ⊙ Δ

Wang et al. 2024, Algorithm 1.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ire.optim.curvature.gradients import Spent, gradients_of, has_gradient
from ire.optim.curvature.sources import Refresh, Source, source_named
from ire.optim.mask.refresh import refreshed
from ire.optim.sam import SAM
from ire.optim.saving import Saving
from ire.optim.steps.boost import Boost
from ire.optim.tensors.identity import same
from ire.optim.tensors.typed import untraced
from ire.optim.wrapping.bases import inside
from ire.optim.wrapping.boostable import (
    check_base,
    check_not_captured,
    check_parameters,
    decoupled_decay,
)
from ire.optim.wrapping.choices import Choices, Moving
from ire.optim.wrapping.groups import check_group, keep_groups_settings
from ire.optim.wrapping.memory import Memory
from ire.optim.wrapping.settings import ByName, Schedule, Settings
from ire.optim.wrapping.several_bases import as_one, innermost
from ire.optim.wrapping.wrapper import without_global_hooks


class IRE(Saving):
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

    `base` may be a list of optimizers on one model, `IRE([muon, adamw], ...)`, with one mask over all parameters.

    A parameter group may have its own `kappa`, `gamma` and `lr_max`, and so may parameters by their names:
    `by_name={"*embed*": {"kappa": 0}, "*norm*": {"kappa": 0}}`, or a function of the name. Parameters with
    kappa=0 are left out. Those with their own gamma are ranked separately, all others together, or with
    `ranked_by` separately for each `block` or `tensor`. Names come from `named_parameters`, or from a base that
    was built from `model.named_parameters()`. κ may be a function of the step. Parameters without curvature are
    neither ranked nor boosted.

    `curvature` names where h comes from: `sampled` (the paper), `reuse`, `subbatch`, `empirical` and
    `second_moment` are estimates; `random` draws the coordinates at random, and `sharpest` boosts exactly those
    that `sampled` leaves alone. gamma=1 boosts all coordinates and needs no curvature. See
    `ire.optim.curvature.sources`.

    `compile` makes the boost one compiled graph, and for AdamW, Adam and SGD the whole step, which then costs
    little more than the plain fused step. Compiling takes up to a minute, at the first boosted step.

    `pack_masks` stores masks in checkpoints as bits.

    Raises:
        ValueError: an argument outside its range, or a base that cannot be boosted.
        TypeError: `base` is not an optimizer.
    """

    def __init__(
        self,
        base: Optimizer | Sequence[Optimizer],
        *,
        kappa: float | Schedule,
        gamma: float,
        interval: int = 10,
        start: int = 0,
        curvature: str | Source = "sampled",
        seed: int = 0,
        ema: float = 0.0,
        lr_max: float | None = None,
        boost_weight_decay: bool = True,
        compile: bool = False,
        by_name: ByName | None = None,
        ranked_by: str | Callable[[str], Hashable] = "model",
        named_parameters: Iterable[tuple[str, Tensor]] | None = None,
        pack_masks: bool = False,
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
            by_name=by_name,
            ranked_by=ranked_by,
            pack_masks=pack_masks,
        )
        super().__init__(as_one(base))
        if any(isinstance(it, IRE) for it in inside(self.base)):
            raise ValueError("IRE around IRE would boost twice; wrap the base once, with the larger kappa")
        if any(isinstance(it, SAM) for it in inside(self._inner)):
            raise ValueError(
                "SAM evaluates the closure, so it belongs directly inside IRE: IRE(SAM(base), ...), for several "
                "optimizers IRE(SAM([first, second]), ...)"
            )
        check_base(self._inner, settings)
        self._source = source_named(curvature)
        self._memory = Memory()
        self._choices = Choices(self._inner, settings, named_parameters)
        self._boosted_step = self._new_step()
        keep_groups_settings(self._inner)
        self._boosted_before = None
        self._kappa_in_force = 0.0
        self._since = 0
        self._spent: Spent | None = None
        self._keep_books()

    # What a training loop asks

    @property
    def curvature_due(self) -> bool:
        """Whether the next step needs a curvature backward and `update_mask` first."""
        due = self._source.scores is None and self._refresh_due and self._ranks_something
        if due and self._spent is not None:
            self._spent.look()
        return due

    @property
    def path(self) -> str:
        """How the next boosted step is computed: `triton`, `native`, `measured`, ...; see `ire.optim.steps.paths`.

        For several bases with different paths, all names joined by +.
        """
        return "+".join(dict.fromkeys(path.name for _, path in self._boosted_step.chosen(self._inner)))

    # What a training loop does

    @untraced
    @torch.no_grad()
    def update_mask(self, loss: Tensor | None = None) -> None:
        """Build the mask from the gradients of the curvature backward, and clear these gradients.

        With `loss`, a curvature loss on a graph that training will use again (`reuse`), the method computes its
        gradients, averages them over all workers, and leaves the parameters' own gradients unchanged:

            logits = model(inputs)
            if optimizer.curvature_due:
                optimizer.update_mask(sampled_nll(logits))
            loss(logits, targets).backward()

        If a curvature is not finite, the old mask stays and `skipped_refreshes` grows by one.

        Raises:
            ValueError: there are no gradients, they hold training gradients or are sparse, or the source needs no
                backward pass.
        """
        if self._source.scores is not None:
            raise ValueError(
                f"curvature={self.settings.curvature!r} needs no backward pass and builds its mask inside "
                "step(); ask curvature_due before calling update_mask()"
            )
        if loss is not None:
            gradients = gradients_of(loss, self.parameters())
            self._refresh(lambda parameters, _: [gradients[p] for p in parameters], gradients.__contains__)
            self._leftovers.forget()
            return
        if self._spent is not None:
            self._spent.check_cleared(p for some, _ in self._ranked() for p in some)
        self._leftovers.check_in_time()
        if not any(has_gradient(p) for p in self.parameters()):
            raise ValueError(
                "update_mask() found no gradients: call backward() on the curvature loss first, as in "
                "sampled_nll(model(inputs)).backward()"
            )
        self._refresh(lambda parameters, _: [p.grad for p in parameters if p.grad is not None], has_gradient)
        for p in self.parameters():
            p.grad = None
        self._give_back()

    @untraced
    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """One step of the base, boosted. A closure is evaluated once, by SAM twice, before anything moves.

        Raises:
            ValueError: the mask is due and no curvature was given. Nothing has changed then.
            RuntimeError: a CUDA graph captures the step. Nothing has changed then.
        """
        check_not_captured(self._inner)
        if self.curvature_due:
            raise ValueError(
                f"the mask is due at step {self.steps} (every {self.settings.interval} steps from step "
                f"{self.settings.start}) but no curvature was given: before step(), if "
                "optimizer.curvature_due, run sampled_nll(model(inputs)).backward() and "
                "optimizer.update_mask()"
            )
        moving, kappa = self._choices.boosted(self.steps), 0.0
        with without_global_hooks():
            if not moving:
                given = () if closure is None else (closure,)  # PostLocalSGDOptimizer takes none
                # torch's stub has closures that return a float
                loss = self.base.step(*given)  # pyright: ignore[reportCallIssue, reportArgumentType, reportUnknownVariableType]
            else:
                loss = self._gradients(closure)
                self._refresh_by_itself()
                boosts, kappa = self._boosts(moving)
                self._boosted_step.step(self._inner, boosts)
        self._kappa_in_force = kappa
        self._memory.steps += 1
        self._leftovers.forget()
        self._forget_spent()
        if self._source.scores is None:  # only then there is a curvature backward
            self._spent = Spent(self.parameters(), watch=self._refresh_due)
        return loss  # pyright: ignore[reportUnknownVariableType]

    def zero_grad(self, set_to_none: bool = True) -> None:
        super().zero_grad(set_to_none)
        self._forget_spent()
        self._leftovers.forget()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, as on the base. Its coordinates are boosted from the next refresh on."""
        check_group(param_group, self._inner)
        parameters: Tensor | Iterable[Tensor] = param_group["params"]
        if isinstance(parameters, Tensor):
            parameters = [parameters]
        elif isinstance(parameters, Iterator):
            parameters = list(parameters)
        param_group = param_group | {"params": parameters}
        check_parameters({**self.defaults, **param_group}, self._inner, self.settings)
        super().add_param_group(param_group)

    # How

    def _gradients(self, closure: Callable[[], Tensor] | None) -> Tensor | None:
        """Bring the gradients up to date; returns the loss."""
        if isinstance(self.base, SAM):
            return self.base.gradient(closure)
        if closure is None:
            return None
        with torch.enable_grad():
            return closure()

    def _wanted(self) -> tuple[set[Tensor], bool]:
        return (set(self.parameters()) if self._source.scores is None else set()), self.curvature_due

    def _forget_spent(self) -> None:
        if self._spent is not None:
            self._spent.forget()
        self._spent = None

    @property
    def _refresh_due(self) -> bool:
        last = self._memory.refreshed_at
        started = self.steps >= self.settings.start
        return started and (last is None or self.steps - last >= self.settings.interval)

    @property
    def _ranks_something(self) -> bool:
        return any(p.requires_grad for parameters, _ in self._ranked() for p in parameters)

    def _ranked(self) -> Iterator[tuple[list[Tensor], float]]:
        """Parameters that are ranked together, and the γ of each such set."""
        return self._choices.ranked(self.steps)

    def _refresh_by_itself(self) -> None:
        scores = self._source.scores
        if scores is None or not self._refresh_due:
            return
        last = self._memory.refreshed_at
        due = self.settings.start if last is None else last + self.settings.interval
        occasion = Refresh(
            base=innermost(self._inner),
            seed=self.settings.seed,
            number=self._memory.refreshes,
            steps=self.steps,
            waited=self.steps - max(due, self._since),
        )

        def known(p: Tensor) -> bool:
            has_state = self._source.of_state and p.requires_grad and bool(occasion.base.state.get(p))
            return has_gradient(p) or has_state

        self._refresh(
            lambda parameters, number: scores(parameters, replace(occasion, ranking=number)),
            known,
        )

    def _refresh(
        self,
        scores: Callable[[Sequence[Tensor], int], Sequence[Tensor] | None],
        known: Callable[[Tensor], bool],
    ) -> None:
        sets = [([p for p in parameters if known(p)], gamma) for parameters, gamma in self._ranked()]
        replaced = set(self._memory.averages).difference(self.parameters())  # as pruning does in a group
        for p in replaced:
            del self._memory.averages[p]
        refreshed(self._memory, sets, scores, self._source, self.settings.ema)

    def _boosts(self, moving: Sequence[Moving]) -> tuple[Sequence[Boost], float]:
        """The boosts of this step, which are the same list object if nothing has changed, and the largest κ."""
        masks, boosts_decay = self._memory.masks, self.settings.boost_weight_decay
        resting = [p.grad is None for _, p, _, _ in moving]
        known = moving, resting, list(masks.values())
        before = self._boosted_before
        is_old = before is not None and boosts_decay and moving is before[0] and resting == before[1]
        if before is not None and is_old and same(known[2], before[2]):
            return before[3:]
        boosts: list[Boost] = []
        decays: dict[int, float] = {}  # by group: a learning rate on a GPU is waited for
        for (group, p, kappa, gamma), rests in zip(moving, resting, strict=True):
            mask = None if gamma == 1 else masks.get(p)
            if not rests and (gamma == 1 or mask is not None):
                if not boosts_decay and id(group) not in decays:
                    decays[id(group)] = decoupled_decay(group, self._inner)
                boosts.append(Boost(p, mask, kappa, decays.get(id(group), 0.0)))
        largest = max((boost.kappa for boost in boosts), default=0.0)
        self._boosted_before = (*known, boosts, largest)
        return boosts, largest
