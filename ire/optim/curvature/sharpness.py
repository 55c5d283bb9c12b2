"""How sharp a minimum is: trace of the Fisher matrix, trace and largest eigenvalue of the Hessian.

The trace by sampled labels is the paper's measure (Wang et al. 2024, App. C). It and Hutchinson's cost a
few passes; the eigenvalue some twenty Hessian-vector products. Each estimate comes with its own error.
They are implemented here because libraries with them need a dozen packages, and `ire.optim` needs only torch.
"""

# Torch does not list its foreach and fused kernels.
# pyright: reportPrivateImportUsage=false, reportPrivateUsage=false

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, cast

import torch
from torch import Tensor, nn

from ire.optim.curvature.batch_norm import frozen_batch_norm
from ire.optim.curvature.gradients import grad
from ire.optim.curvature.leftovers import unannounced
from ire.optim.curvature.sampling import positions, sampled_nll

# torch's type is incomplete
_eigh: Callable[[Tensor], tuple[Tensor, Tensor]] = torch.linalg.eigh  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

Losses = Sequence[Callable[[], Tensor]]
"""The objective is their mean; each is evaluated again for each product, so that only one graph exists at a time."""


@dataclass(frozen=True)
class Estimate:
    """A number and its error."""

    value: float
    error: float
    """Standard error of a trace (NaN from a single draw); bound on the distance of an eigenvalue."""

    def __float__(self) -> float:
        return self.value


def fisher_trace(
    model: nn.Module,
    batches: Iterable[Tensor | tuple[Tensor, Tensor]],
    *,
    draws: int = 1,
    generator: torch.Generator | None = None,
    ignore_index: int = -100,
    likelihood: str = "categorical",
    class_axis: int | None = None,
) -> Estimate:
    """Tr F ≈ B · ‖∇L̂_B‖² with labels drawn from the model: unbiased.

    `batches` yields inputs, or (inputs, targets) whose targets only mark with `ignore_index` what does not count;
    `model(inputs)` gives logits, as `sampled_nll` takes them. B is the number of positions that count, and batches
    are weighted by it: the estimate is that of all their positions together. Each batch is used `draws` times.
    Gradients and batch-norm statistics stay unchanged.

    Raises:
        ValueError: there are no batches or no positions that count, `draws` < 1, or `sampled_nll` refuses the logits.
    """
    _check_count("draws", draws)
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("fisher_trace: every parameter of the model is frozen, so no loss has a gradient")
    form: dict[str, Any] = {"ignore_index": ignore_index, "likelihood": likelihood, "class_axis": class_axis}
    found: list[float] = []
    counts: list[int] = []
    with frozen_batch_norm(model), unannounced():
        for batch in batches:
            is_pair = isinstance(batch, tuple | list)
            if is_pair and len(batch) != 2:
                raise ValueError(
                    f"a batch must be inputs, or a pair (inputs, targets), got {len(batch)} things; with a model that "
                    "takes several, give fisher_trace a model of one"
                )
            inputs, targets = batch if is_pair else (batch, None)
            for _ in range(draws):
                logits = model(inputs)
                count = positions(logits, targets=targets, **form)
                if not count:
                    continue
                loss = sampled_nll(logits, targets=targets, generator=generator, **form)
                gradients = grad(loss, parameters)
                squares = sum(float(g.double().square().sum()) for g in gradients if g is not None)
                found.append(count * squares)
                counts.append(count)
    if not found:
        raise ValueError(
            "fisher_trace got no batches with positions that count; a list can be read again, a generator cannot"
        )
    return weighted_mean(found, counts)


def hessian_trace(
    losses: Losses,
    parameters: Iterable[Tensor],
    *,
    probes: int = 10,
    generator: torch.Generator | None = None,
) -> Estimate:
    """Tr ∇²L = E zᵀ∇²L z with random signs z (Hutchinson 1989). Signs are drawn on the CPU.

    Raises:
        ValueError: `probes` < 1, no losses, or parameters that are frozen.
    """
    _check_count("probes", probes, "; the error falls with their square root")
    parameters = list(parameters)
    found: list[float] = []
    for _ in range(probes):
        signs = [torch.randint(0, 2, p.shape, generator=generator, device="cpu") for p in parameters]
        z = [sign.to(p).mul_(2).sub_(1) for sign, p in zip(signs, parameters, strict=True)]
        found.append(_dot(z, hessian_product(losses, parameters, z)))
    return weighted_mean(found, [1] * len(found))


def largest_eigenvalue(
    losses: Losses,
    parameters: Iterable[Tensor],
    *,
    products: int = 30,
    tolerance: float = 1e-3,
    generator: torch.Generator | None = None,
) -> Estimate:
    """λ_max of ∇²L by Lanczos' iteration, which keeps three vectors.

    Stops when `error`, the residual ‖∇²L x − λ x‖ of the Ritz pair, is below `tolerance` · |λ|, or after
    `products` products. An eigenvalue lies within that distance; it is the largest one unless the random first
    vector happens to be orthogonal to its eigenvector. NaN if a product is not finite.

    Raises:
        ValueError: `products` < 1, no losses, or parameters that are frozen.
    """
    _check_count("products", products)
    parameters = list(parameters)
    q = [
        torch.randn(p.shape, generator=generator, device="cpu", dtype=torch.float32).to(p) for p in parameters
    ]
    torch._foreach_div_(q, math.sqrt(_dot(q, q)))
    before: Sequence[Tensor] | None = None
    diagonal: list[float] = []
    beside: list[float] = []
    while True:
        w = hessian_product(losses, parameters, q)
        diagonal.append(_dot(q, w))
        torch._foreach_add_(w, q, alpha=-diagonal[-1])
        if before is not None:
            torch._foreach_add_(w, list(before), alpha=-beside[-1])
        length = math.sqrt(_dot(w, w))
        if not math.isfinite(length):
            return Estimate(math.nan, math.nan)
        tridiagonal = torch.diag(torch.tensor(diagonal, dtype=torch.float64, device="cpu"))
        tridiagonal += torch.diag(torch.tensor(beside, dtype=torch.float64, device="cpu"), -1)
        values, vectors = _eigh(tridiagonal)  # reads the lower triangle
        value, residual = float(values[-1]), abs(length * float(vectors[-1, -1]))
        if residual <= tolerance * abs(value) or len(diagonal) == products or length == 0:
            return Estimate(value, residual)
        beside.append(length)
        before, q = q, list(torch._foreach_div(w, length))


def hessian_product(losses: Losses, parameters: Sequence[Tensor], vector: Sequence[Tensor]) -> list[Tensor]:
    """∇²L · vector for L the mean of `losses`, by differentiating twice.

    Attention kernels often lack the second derivative; select torch's `SDPBackend.MATH` around the call.

    Raises:
        ValueError: no losses, or parameters that are frozen.
    """
    if not (isinstance(losses, Sequence) and all(map(callable, losses))):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may have no types
        raise ValueError(
            f"losses must be a list of functions that return one, got {losses!r}"[:300]
            + "; for one loss give [lambda: loss(model(inputs), targets)]"
        )
    if not losses:
        raise ValueError("there are no losses; give a list of functions that return one")
    if not all(p.requires_grad for p in parameters):
        raise ValueError(
            "some parameters are frozen (requires_grad=False), so there is no Hessian of them: leave them out, as in "
            "[p for p in model.parameters() if p.requires_grad]"
        )
    product = [torch.zeros_like(p) for p in parameters]
    for loss in losses:
        with torch.enable_grad():
            first = torch.autograd.grad(loss(), parameters, create_graph=True, materialize_grads=True)
            along = cast(Tensor, sum((g * v).sum() for g, v in zip(first, vector, strict=True)))
            second = (
                torch.autograd.grad(along, parameters, materialize_grads=True, allow_unused=True)
                if along.requires_grad
                else [torch.zeros_like(p) for p in parameters]
            )
        torch._foreach_add_(product, [h.detach() for h in second], alpha=1 / len(losses))
    return product


def _check_count(name: str, count: int, reason: str = "") -> None:
    if isinstance(count, bool) or not isinstance(count, Integral) or count < 1:
        raise ValueError(f"{name} must be >= 1, and a whole number, got {count!r}{reason}")


def _dot(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    return sum(float((x.double() * y.double()).sum()) for x, y in zip(a, b, strict=True))


def weighted_mean(values: Sequence[float], weights: Sequence[float]) -> Estimate:
    """Σ w x / Σ w, and its standard error; that of a plain mean where all weights are equal."""
    total, n = math.fsum(weights), len(values)
    mean = math.fsum(w * x for w, x in zip(weights, values, strict=True)) / total
    spread = math.fsum((w * (x - mean)) ** 2 for w, x in zip(weights, values, strict=True))
    return Estimate(mean, math.sqrt(spread * n / (n - 1)) / total if n > 1 else math.nan)
