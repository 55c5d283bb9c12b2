"""The loss against labels that the model itself draws, whose squared gradient is the diagonal of the Fisher matrix.

For every loss here the Fisher matrix of the model is the Gauss-Newton matrix of the training loss, and

    B · E (∇L̂)²  =  diagonal of the Gauss-Newton matrix          B = `positions(...)`

(Martens 2020, "New Insights and Perspectives on the Natural Gradient Method", Section 9). The loss L̂ draws its
labels anew each time; the training labels are read only to know which positions count, and how much.
"""

import math
from collections.abc import Callable
from numbers import Integral, Real

import torch
import torch.nn.functional as F
from torch import Tensor

from ire.optim.curvature.leftovers import announced

LIKELIHOODS = ("categorical", "bernoulli", "gaussian")

_NO_CLASS = -100
"""Marks ignored positions among drawn labels, since `ignore_index` may be a class that is drawn, such as padding."""


def sampled_nll(
    logits: Tensor,
    *,
    targets: Tensor | None = None,
    ignore_index: int = -100,
    likelihood: str = "categorical",
    class_axis: int | None = None,
    weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
    label_smoothing: float = 0.0,
    variance: float = 0.5,
    generator: torch.Generator | None = None,
    rank: int = 0,
    world_size: int = 1,
) -> Tensor:
    """The training loss of `logits` against labels drawn from the model, the mean over positions.

    Its gradient is ∇L̂_B of Wang et al. 2024, Eq. 6. By `likelihood`:

    - `categorical`: the twin of `torch.nn.functional.cross_entropy`, labels drawn from the softmax over the last
      axis, or over `class_axis` (1 for segmentation, as in torch). Class weights, `weight` (C,), and
      `label_smoothing` change how much a position counts, which depends on its true label: they need `targets`.
    - `bernoulli`: the twin of `binary_cross_entropy_with_logits`, for one logit or several labels; every element of
      `logits` is a position. `weight` broadcasts against `logits`; `pos_weight` needs `targets`.
    - `gaussian`: regression; `logits` are the means, and every element is a position. The loss is
      (z − y)² / (2 · `variance`): the default is that of `mse_loss`.

    Otherwise no true label is used: `targets` only says which positions count, namely all that differ from
    `ignore_index` (a drawn label may be that class). If none counts, the result is NaN, as for `cross_entropy`,
    and the refresh is skipped.

    Labels come from `generator` if one is given, from torch's global generator otherwise.
    Under data parallelism, give every worker a generator in the same state, and its `rank` and
    `world_size`: the workers, with n rows each, then draw exactly the labels that a single worker would
    draw on the concatenated batch of `world_size`·n rows.

    Raises:
        ValueError: shapes do not match or have no meaning, or an argument is outside its range.
    """
    _check_numbers(rank, world_size, label_smoothing, variance)
    if not isinstance(generator, torch.Generator | None):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may have no types
        raise ValueError(f"generator must be a torch.Generator or None, got {generator!r}")
    logits = _classes_last(logits, targets, likelihood, class_axis)
    for name, given, default, owner in (
        ("label_smoothing", label_smoothing, 0.0, "categorical"),
        ("variance", variance, 0.5, "gaussian"),
    ):
        if given != default and likelihood != owner:
            raise ValueError(f"{name} belongs to likelihood={owner!r}, got {likelihood!r}")
    _check_weights(logits, targets, likelihood, weight, pos_weight, ignore_index)
    counts = None if targets is None else _counted(targets, ignore_index)
    if likelihood != "categorical":
        draw = _draw_gaussian(variance) if likelihood == "gaussian" else _draw_bernoulli
        labels = draw(logits.detach(), generator, rank, world_size)
        losses = _element_losses(logits, labels, likelihood, variance)
        importance = _importance_of_elements(logits, targets, weight, pos_weight)
        if counts is not None:  # before the product: the root of an ignored element's importance may be NaN
            losses, importance = losses[counts], None if importance is None else importance[counts]
        return announced((losses if importance is None else losses * importance.sqrt()).mean())

    labels = _draw(logits.detach(), generator, rank, world_size)
    if counts is not None:
        labels = labels.masked_fill(~counts, _NO_CLASS)
    flat, labels = _wide(logits).reshape(-1, logits.shape[-1]), labels.flatten()
    if weight is None:
        return announced(F.cross_entropy(flat, labels, ignore_index=_NO_CLASS))
    # The loss is a mean with the weights of the true labels; its curvature at a position is that weight times the
    # softmax's own, and label smoothing spreads it over the classes. A square root, since gradients are squared.
    assert targets is not None and counts is not None
    true = targets.flatten()[counts.flatten()]
    w = weight.to(flat)
    importance = (1 - label_smoothing) * w[true] + label_smoothing * w.mean()
    losses = F.cross_entropy(flat, labels, ignore_index=_NO_CLASS, reduction="none")[counts.flatten()]
    return announced((importance.sqrt() * losses).sum() / (len(losses) * w[true].sum()).sqrt())


def positions(
    logits: Tensor,
    *,
    targets: Tensor | None = None,
    ignore_index: int = -100,
    likelihood: str = "categorical",
    class_axis: int | None = None,
) -> int:
    """B: how many positions of `logits` the loss of `sampled_nll` is the mean of.

    Raises:
        ValueError: as `sampled_nll`.
    """
    if targets is not None:
        return int(_counted(targets, ignore_index).sum())
    logits = _classes_last(logits, targets, likelihood, class_axis)
    return logits[..., 0].numel() if likelihood == "categorical" else logits.numel()


def _counted(targets: Tensor, ignore_index: int) -> Tensor:
    """Which positions count; compared in 64 bits, since -100 is class 156 in unsigned bytes."""
    if isinstance(ignore_index, bool) or not isinstance(ignore_index, Real) or math.isnan(ignore_index):
        raise ValueError(f"ignore_index must be a number that targets can equal, got {ignore_index!r}")
    return (targets if targets.is_floating_point() else targets.long()) != ignore_index


def _classes_last(logits: Tensor, targets: Tensor | None, likelihood: str, class_axis: int | None) -> Tensor:
    """`logits` with the classes at the end, once it is clear where they are."""
    for name, given in (("logits", logits), ("targets", targets)):
        if not isinstance(given, Tensor) and (given is not None or name == "logits"):
            raise ValueError(f"{name} must be a tensor, got {type(given).__name__}")
    if not logits.is_floating_point():
        raise ValueError(f"logits must be real floating-point numbers, got {logits.dtype}")
    shape = tuple(logits.shape)
    if likelihood not in LIKELIHOODS:
        raise ValueError(f"likelihood must be one of {', '.join(LIKELIHOODS)}, got {likelihood!r}")
    if likelihood != "categorical":
        if class_axis is not None:
            raise ValueError(f"likelihood={likelihood!r} has no classes; leave out class_axis={class_axis}")
        if targets is not None and targets.shape != logits.shape:
            raise ValueError(f"targets must have the shape of logits, {shape}, got {tuple(targets.shape)}")
        return logits
    if class_axis is not None:
        is_whole = not isinstance(class_axis, bool) and isinstance(class_axis, Integral)
        if not (is_whole and -logits.dim() <= class_axis < logits.dim()):
            raise ValueError(f"class_axis={class_axis!r} is no axis of logits of shape {shape}")
        logits = logits.movedim(class_axis, -1)
    elif logits.dim() < 2:
        raise ValueError(
            f"logits must have shape (..., classes), got {shape}: for one logit per example use "
            "likelihood='bernoulli', for a single example class_axis=0"
        )
    elif logits.dim() > 3 and targets is None:
        raise ValueError(
            f"which axis of logits of shape {shape} are the classes? Name it: class_axis=1, as in "
            "torch.nn.functional.cross_entropy, or class_axis=-1 if they are last"
        )
    if logits.shape[-1] < 2:
        raise ValueError(
            f"logits of shape {shape} have {logits.shape[-1]} class along the class axis, so every label is the same; "
            "use likelihood='bernoulli' for a single logit"
        )
    if (
        targets is not None
        and targets.shape == logits.shape[:-1]
        and (targets.is_floating_point() or targets.dtype == torch.bool)
    ):
        raise ValueError(
            f"targets must be classes, in an integer type, got {targets.dtype}; mark positions that do not count with "
            "ignore_index"
        )
    if targets is not None and targets.shape != logits.shape[:-1]:
        raise ValueError(
            f"targets must have the shape of logits without the class axis, {tuple(logits.shape[:-1])}, "
            f"got {tuple(targets.shape)}; if the classes are not last, name their axis: class_axis=1 for "
            "(N, C, ...); if the targets are probabilities, leave them out: the curvature is the "
            "same (without class weights, which go with classes only)"
        )
    return logits


def _check_numbers(rank: int, world_size: int, label_smoothing: float, variance: float) -> None:
    for name, number in (("rank", rank), ("world_size", world_size)):
        if isinstance(number, bool) or not isinstance(number, Integral):
            raise ValueError(f"{name} must be a whole number, got {number!r}")
    if not 0 <= rank < world_size:
        raise ValueError(f"rank must be in [0, world_size), got rank={rank} and world_size={world_size}")
    for name, number in (("label_smoothing", label_smoothing), ("variance", variance)):
        if isinstance(number, bool) or not isinstance(number, Real):
            raise ValueError(f"{name} must be a number, got {number!r}")
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing}")
    if not (variance > 0 and math.isfinite(variance)):
        raise ValueError(f"variance must be finite and > 0, got {variance}; 0.5 is that of mse_loss")


def _check_weights(
    logits: Tensor,
    targets: Tensor | None,
    likelihood: str,
    weight: Tensor | None,
    pos_weight: Tensor | None,
    ignore_index: int,
) -> None:
    for name, given in (("weight", weight), ("pos_weight", pos_weight)):
        if given is not None and not isinstance(given, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may have no types
            raise ValueError(f"{name} must be a tensor, got {type(given).__name__}")
        if given is not None and likelihood != "categorical" and not _broadcasts(given, logits):
            raise ValueError(
                f"{name} must broadcast to the shape of logits, {tuple(logits.shape)}, got {tuple(given.shape)}"
            )
    if pos_weight is not None and likelihood != "bernoulli":
        raise ValueError(f"pos_weight belongs to likelihood='bernoulli', got {likelihood!r}")
    if weight is not None and likelihood == "categorical" and weight.shape != logits.shape[-1:]:
        raise ValueError(
            f"weight must have one entry per class, ({logits.shape[-1]},), got {tuple(weight.shape)}"
        )
    needs = pos_weight is not None or (weight is not None and likelihood == "categorical")
    if needs and targets is None:
        raise ValueError(
            "class weights depend on the true labels: also give targets=..., or leave out the weights"
        )
    if weight is not None and likelihood == "categorical":
        assert targets is not None
        counted = targets[_counted(targets, ignore_index)]
        if not bool(((counted >= 0) & (counted < len(weight))).all()):
            raise ValueError(
                f"targets must be classes from 0 to {len(weight) - 1}, or ignore_index={ignore_index}, got "
                f"{int(counted.min())} to {int(counted.max())}"
            )
    for name, given in (("weight", weight), ("pos_weight", pos_weight)):
        if given is not None and not bool((given >= 0).all() & given.isfinite().all()):
            raise ValueError(f"{name} must be finite and >= 0, got {given}")


def _importance_of_elements(
    logits: Tensor, targets: Tensor | None, weight: Tensor | None, pos_weight: Tensor | None
) -> Tensor | None:
    """The factor of each element's curvature, or None for 1."""
    factors = [] if weight is None else [weight.to(_wide(logits))]
    if pos_weight is not None:
        assert targets is not None
        factors.append(1 + (pos_weight - 1) * targets.to(_wide(logits)))
    return math.prod(factors[1:], start=factors[0]).expand_as(logits) if factors else None


def _broadcasts(weight: Tensor, logits: Tensor) -> bool:
    try:
        # torch has the type of broadcast_shapes in part
        return torch.broadcast_shapes(weight.shape, logits.shape) == logits.shape  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    except RuntimeError:
        return False


def _element_losses(logits: Tensor, labels: Tensor, likelihood: str, variance: float) -> Tensor:
    if likelihood == "gaussian":
        return (_wide(logits) - labels).square() / (2 * variance)
    return F.binary_cross_entropy_with_logits(_wide(logits), labels, reduction="none")


def _draw_bernoulli(logits: Tensor, generator: torch.Generator | None, rank: int, world_size: int) -> Tensor:
    chance = _wide(logits).sigmoid()
    uniform = _slice_of_the_world(torch.rand, chance.shape, chance, generator, rank, world_size)
    return (uniform < chance).to(chance.dtype)


def _draw_gaussian(variance: float) -> Callable[..., Tensor]:
    def draw(means: Tensor, generator: torch.Generator | None, rank: int, world_size: int) -> Tensor:
        mean = _wide(means)
        noise = _slice_of_the_world(torch.randn, mean.shape, mean, generator, rank, world_size)
        return noise.mul_(variance**0.5).add_(mean)

    return draw


def _draw(logits: Tensor, generator: torch.Generator | None, rank: int, world_size: int) -> Tensor:
    """Labels (...) by inverting the distribution function: 15 times cheaper than `Categorical.sample`."""
    cumulative = _wide(logits).softmax(-1).cumsum(-1)
    shape = cumulative.shape[:-1]
    uniform = _slice_of_the_world(torch.rand, shape, cumulative, generator, rank, world_size)
    # right=True finds the first class whose cumulative probability exceeds the draw, so that a class of
    # probability zero is never drawn; scaling by the total absorbs its rounding.
    labels = torch.searchsorted(cumulative, uniform.unsqueeze(-1) * cumulative[..., -1:], right=True)
    return labels.squeeze(-1).clamp_(max=logits.shape[-1] - 1)


def _slice_of_the_world(
    random: Callable[..., Tensor],
    shape: torch.Size,
    like: Tensor,
    generator: torch.Generator | None,
    rank: int,
    world_size: int,
) -> Tensor:
    """This rank's contiguous slice, along the first axis, of one draw for the whole world."""
    device = like.device if generator is None else generator.device
    rows = shape[0] if shape else 1  # a single position: each rank is one row of the world's
    world = random((world_size * rows, *shape[1:]), generator=generator, device=device, dtype=like.dtype)
    mine = world[rank * rows : (rank + 1) * rows] if shape else world[rank]
    return mine.to(like.device)


def _wide(logits: Tensor) -> Tensor:
    """At least single precision: a cumulative sum over a vocabulary is meaningless in 8 bits."""
    return logits if logits.dtype == torch.float64 else logits.float()
