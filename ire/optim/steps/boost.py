"""What to boost in one step, and by how much: the input of every path."""

from typing import NamedTuple

from torch import Tensor


class Boost(NamedTuple):
    """One parameter that is boosted in this step."""

    parameter: Tensor
    mask: Tensor | None
    """0 and 1 in uint8, the shape of this worker's part; None means every coordinate."""
    kappa: float
    plain_decay: float = 0.0
    """η λ, where decoupled weight decay is not to be boosted; else 0."""
