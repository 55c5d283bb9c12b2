"""Explicit regularizers on a micro-batch: λ times the squared norm of the gradient of a scalar.

They differ only in the scalar, one per file; `penalized.py` has the double backward that they share.
Novack et al. 2023.
"""

from trainables.penalties.average_jacobian import average_jacobian
from trainables.penalties.fisher_trace import fisher_trace
from trainables.penalties.gradient_norm import gradient_norm
from trainables.penalties.penalized import Penalized, penalized_gradient
from trainables.penalties.scalar import MicroBatch, Scalar
from trainables.penalties.second_derivatives import differentiable_twice
from trainables.penalties.unit_jacobian import unit_jacobian

SCALARS: dict[str, Scalar] = {
    "gn": gradient_norm,
    "ft": fisher_trace,
    "aj": average_jacobian,
    "uj": unit_jacobian,
}
"""By the name of the method that penalizes its gradient."""

__all__ = ["SCALARS", "MicroBatch", "Penalized", "Scalar", "differentiable_twice", "penalized_gradient"]
