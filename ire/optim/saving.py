"""IRE's own part of a checkpoint, of a copy and of a pickle."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ire.optim.curvature.gradients import Spent
from ire.optim.curvature.leftovers import Owner
from ire.optim.readings import Readings
from ire.optim.steps.boost import Boost
from ire.optim.steps.boosted_step import BoostedStep
from ire.optim.wrapping.choices import Moving
from ire.optim.wrapping.distributed import DistributedState
from ire.optim.wrapping.groups import keep_groups_settings
from ire.optim.wrapping.memory import Memory, check_options, packed, unpacked


class Saving(Readings, Owner):
    """The part of `IRE` that is saved and restored; it needs the attributes below."""

    _since: int
    """The step at which it began, or continued from a checkpoint."""
    _spent: Spent | None
    _boosted_step: BoostedStep
    _boosted_before: tuple[Sequence[Moving], list[bool], list[Tensor], list[Boost], float] | None

    def distributed_state(self, model: nn.Module) -> DistributedState:
        """IRE's own part of a checkpoint, for `torch.distributed.checkpoint`, beside the model's and the base's.

        Any number of workers can load what another number has saved. Use `state_dict()` for all other checkpoints.

        Raises:
            ValueError: `model` lacks a parameter of this optimizer.
        """
        return DistributedState(
            model, self.parameters(), lambda: self._memory, self._remember, self.settings.ema > 0
        )

    def _remember(self, memory: Memory) -> None:
        self._memory, self._since = memory, memory.steps

    def _new_step(self) -> BoostedStep:
        settings = self.settings
        return BoostedStep(
            self._inner, compile=settings.compile, boost_weight_decay=settings.boost_weight_decay
        )

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__() | {"_spent": None, "_boosted_before": None}
        del state["_boosted_step"], state["_leftovers"]  # graphs and scratch
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._boosted_step = self._new_step()
        keep_groups_settings(self._inner)  # copies have no hooks
        self._keep_books()

    def _packed(self, base_state: dict[str, Any]) -> dict[str, Any]:
        return {**base_state, "ire": packed(self._memory, self.parameters(), bits=self.settings.pack_masks)}

    def _load(self, state: dict[str, Any]) -> None:
        state = dict(state)
        memory = unpacked(state.pop("ire", None), self.parameters())
        check_options(state.get("param_groups", ()), self._inner)
        self.base.load_state_dict(state)
        self._remember(memory)
