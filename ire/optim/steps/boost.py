"""Which parameters one step boosts, and by how much: the input of every path."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor
from torch.optim import Optimizer


class Boost(NamedTuple):
    """One parameter that is boosted in this step."""

    parameter: Tensor
    mask: Tensor | None
    """0 and 1 in uint8, the shape of this worker's part; None means every coordinate."""
    kappa: float
    plain_decay: float = 0.0
    """η λ if decoupled weight decay is not boosted; else 0."""


def boosts_of(optimizer: Optimizer, boosts: Sequence[Boost]) -> list[Boost]:
    """The boosts of the parameters that this optimizer steps: one of several, or one worker's part."""
    own = {p for group in optimizer.param_groups for p in group["params"]}
    return [boost for boost in boosts if boost.parameter in own]
