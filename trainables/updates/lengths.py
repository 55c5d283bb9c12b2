"""Grafting: the direction is the large batch's, the length comes from somewhere else.

    g ← ‖·‖ ∇L_B / ‖∇L_B‖

Iterative: ‖∇L_M‖ of a micro-batch M of the same batch. External: the norm that another run recorded at the same step.
Normalized gradient descent: one. Novack et al. 2023; their released code contains none of the three, so the formulas
follow the paper's description and the remnants in that code.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ire.invalid_input import InvalidInput
from ire.trial.seeds import derive_seed
from ire.trial.spec import TrialSpec
from trainables.updates.update import norm


class Length(Protocol):
    """Where a gradient's length comes from."""

    def asks(self, step: int, number: int, count: int) -> bool:
        """Whether the norm of micro-batch `number` of `count` is needed at this step of the task."""
        ...

    def __call__(self, step: int, norms: Tensor) -> Tensor | float:
        """The length at this step; `norms` (count,) holds ‖∇L_M‖ of the micro-batches that `asks` selected."""
        ...


@dataclass(frozen=True)
class OfAMicroBatch:
    """‖∇L_M‖ for an M that is drawn at each step; `denoise` takes the mean over all M instead."""

    seed: int
    denoise: bool

    def asks(self, step: int, number: int, count: int) -> bool:
        return self.denoise or number == self._drawn(step, count)

    def __call__(self, step: int, norms: Tensor) -> Tensor:
        return norms.mean() if self.denoise else norms[self._drawn(step, len(norms))]

    def _drawn(self, step: int, count: int) -> int:
        return derive_seed(self.seed, "graft", step) % count


@dataclass(frozen=True)
class Recorded:
    """The norm of another run at its last report up to this step, or at its first one if this step comes before it."""

    norms: Sequence[tuple[int, float]]
    """(steps taken, ‖∇L_M‖) in rising steps."""

    def asks(self, step: int, number: int, count: int) -> bool:
        return False

    def __call__(self, step: int, norms: Tensor) -> float:
        after = [taken for taken, _ in self.norms]
        return self.norms[max(0, bisect_right(after, step + 1) - 1)][1]


@dataclass(frozen=True)
class One:
    """Normalized gradient descent."""

    def asks(self, step: int, number: int, count: int) -> bool:
        return False

    def __call__(self, step: int, norms: Tensor) -> float:
        return 1.0


def prescribed_length(update: str, settings: Mapping[str, Any], spec: TrialSpec) -> Length | None:
    """The length that this update prescribes, None if none; raises `InvalidInput` without recorded norms."""
    if update == "graft":
        return OfAMicroBatch(spec.seed, settings["denoise"])
    if update == "external":
        if not spec.external_norms:
            raise InvalidInput(
                f"{spec.method} takes its gradient norms from another run; name it, as in "
                "--external experiments/NAME/sgd-small-0000"
            )
        return Recorded(spec.external_norms)
    return One() if update == "ngd" else None


def rescaled(gradient: Sequence[Tensor | None], length: Tensor | float) -> list[Tensor | None]:
    """`gradient` with the Euclidean norm `length` over all tensors together; zero stays zero."""
    total = norm(gradient)
    scale = torch.where(total == 0, 0.0, length / total)
    return [None if g is None else g * scale for g in gradient]
