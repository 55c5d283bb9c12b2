"""AutoAugment and RandAugment as functions of a batch and its random numbers, a batch at a time.

Magnitudes are torchvision's: AutoAugment counts ten steps, RandAugment 31.
"""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from ire.optim.tensors.typed import numbers
from trainables.data.images.image_ops import OPERATIONS

AUTO_DRAWS = 5
"""Uniform numbers per image: the policy; for each operation, whether it is applied, and its sign."""

# The policy found on CIFAR-10: (operation, probability, magnitude) twice (Cubuk et al. 2019, Table 7).
CIFAR10_POLICY: tuple[tuple[tuple[str, float, int | None], tuple[str, float, int | None]], ...] = (
    (("Invert", 0.1, None), ("Contrast", 0.2, 6)),
    (("Rotate", 0.7, 2), ("TranslateX", 0.3, 9)),
    (("Sharpness", 0.8, 1), ("Sharpness", 0.9, 3)),
    (("ShearY", 0.5, 8), ("TranslateY", 0.7, 9)),
    (("AutoContrast", 0.5, None), ("Equalize", 0.9, None)),
    (("ShearY", 0.2, 7), ("Posterize", 0.3, 7)),
    (("Color", 0.4, 3), ("Brightness", 0.6, 7)),
    (("Sharpness", 0.3, 9), ("Brightness", 0.7, 9)),
    (("Equalize", 0.6, None), ("Equalize", 0.5, None)),
    (("Contrast", 0.6, 7), ("Sharpness", 0.6, 5)),
    (("Color", 0.7, 7), ("TranslateX", 0.5, 8)),
    (("Equalize", 0.3, None), ("AutoContrast", 0.4, None)),
    (("TranslateY", 0.4, 3), ("Sharpness", 0.2, 6)),
    (("Brightness", 0.9, 6), ("Color", 0.2, 8)),
    (("Solarize", 0.5, 2), ("Invert", 0.0, None)),
    (("Equalize", 0.2, None), ("AutoContrast", 0.6, None)),
    (("Equalize", 0.2, None), ("Equalize", 0.6, None)),
    (("Color", 0.9, 9), ("Equalize", 0.6, None)),
    (("AutoContrast", 0.8, None), ("Solarize", 0.2, 8)),
    (("Brightness", 0.1, 3), ("Color", 0.7, 0)),
    (("Solarize", 0.4, 5), ("AutoContrast", 0.9, None)),
    (("TranslateY", 0.9, 9), ("TranslateY", 0.7, 9)),
    (("AutoContrast", 0.9, None), ("Solarize", 0.8, 3)),
    (("Equalize", 0.8, None), ("Invert", 0.1, None)),
    (("TranslateY", 0.7, 9), ("AutoContrast", 0.9, None)),
)

RAND_OPERATIONS = tuple(name for name in OPERATIONS if name != "Invert")
SIGNED = (
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Rotate",
    "Brightness",
    "Color",
    "Contrast",
    "Sharpness",
)


def magnitude(name: str, step: int | None, *, steps: int, side: int) -> float:
    """The magnitude of an operation at a `step` of its scale, for images of `side` pixels, without its sign."""
    share = 0.0 if step is None else step / (steps - 1)
    match name:
        case "ShearX" | "ShearY":
            return 0.3 * share
        case "TranslateX" | "TranslateY":
            return float(int(150 / 331 * side * share))
        case "Rotate":
            return 30 * share
        case "Brightness" | "Color" | "Contrast" | "Sharpness":
            return 0.9 * share
        case "Posterize":
            return 8 - round((step or 0) / ((steps - 1) / 4))
        case "Solarize":
            return 255 * (1 - share)
        case _:
            return 0.0


def auto_augment(images: Tensor, draws: Tensor) -> Tensor:
    """A policy of `CIFAR10_POLICY` for each of the uint8 `images` (b, 3, h, w); `draws` (b, 5) in [0, 1)."""
    if images.device.type != "cpu":
        return auto_augment_on_device(images, draws)
    chosen, *rest = draws.cpu().unbind(1)
    policies = [CIFAR10_POLICY[int(draw * len(CIFAR10_POLICY))] for draw in numbers(chosen)]
    for turn in range(2):
        whether, sign = (numbers(part) for part in rest[2 * turn : 2 * turn + 2])
        operations = [
            (name, step) if draw < probability else ("Identity", None)
            for (name, probability, step), draw in zip((p[turn] for p in policies), whether, strict=True)
        ]
        images = _applied(images, operations, sign, steps=10)
    return images


def rand_draws(operations: int) -> int:
    """Uniform numbers per image: for each operation, which one, and its sign."""
    return 2 * operations


def rand_augment(images: Tensor, draws: Tensor, *, strength: int) -> Tensor:
    """Random operations at one `strength` of 31 for each uint8 image; `draws` (b, 2n) for n operations."""
    if images.device.type != "cpu":
        return rand_augment_on_device(images, draws, strength=strength)
    for which, sign in draws.cpu().view(len(draws), -1, 2).permute(1, 2, 0):
        operations = [
            (RAND_OPERATIONS[int(draw * len(RAND_OPERATIONS))], strength) for draw in numbers(which)
        ]
        images = _applied(images, operations, numbers(sign), steps=31)
    return images


def _applied(
    images: Tensor, operations: Sequence[tuple[str, int | None]], sign: Sequence[float], *, steps: int
) -> Tensor:
    """Each image's own operation, all images of one operation together."""
    result = images.clone()
    side = images.shape[-1]
    for name in {name for name, _ in operations} - {"Identity"}:
        picked = [row for row, (other, _) in enumerate(operations) if other == name]
        amounts = [
            magnitude(name, operations[row][1], steps=steps, side=side)
            * (-1 if name in SIGNED and sign[row] < 0.5 else 1)
            for row in picked
        ]
        rows = torch.tensor(picked, device=images.device)
        values = torch.tensor(amounts, dtype=torch.float32, device=images.device)
        result[rows] = OPERATIONS[name](images[rows], values)
    return result


# The same on an accelerator, where reading the draws would synchronise. Every operation is applied to all images, and
# each image keeps the result that its draws select.


def auto_augment_on_device(images: Tensor, draws: Tensor) -> Tensor:
    """As `auto_augment`, without waiting for the device."""
    side = images.shape[-1]
    chosen, *rest = draws.double().unbind(1)
    policy = (chosen * len(CIFAR10_POLICY)).long()
    for turn in range(2):
        names, steps, probabilities = zip(
            *((name, step, p) for name, p, step in (pair[turn] for pair in CIFAR10_POLICY)), strict=True
        )
        table = _table(names, steps, 10, side, images.device)
        whether, sign = rest[2 * turn : 2 * turn + 2]
        happens = whether < _numbers(probabilities, images.device)[policy]
        images = _applied_everywhere(images, table[0][policy], table[1][policy], sign, happens)
    return images


def rand_augment_on_device(images: Tensor, draws: Tensor, *, strength: int) -> Tensor:
    """As `rand_augment`, without waiting for the device."""
    steps = (strength,) * len(RAND_OPERATIONS)
    table = _table(RAND_OPERATIONS, steps, 31, images.shape[-1], images.device)
    for which, sign in draws.double().view(len(draws), -1, 2).permute(1, 2, 0):
        rows = (which * len(RAND_OPERATIONS)).long()
        happens = torch.ones_like(rows, dtype=torch.bool)
        images = _applied_everywhere(images, table[0][rows], table[1][rows], sign, happens)
    return images


def _applied_everywhere(
    images: Tensor, operation: Tensor, amount: Tensor, sign: Tensor, happens: Tensor
) -> Tensor:
    """Each image's own `operation` (b,), a row of `OPERATIONS`, where it `happens`."""
    result = images
    for row, (name, apply) in enumerate(OPERATIONS.items()):
        if name != "Identity":
            mine = happens & (operation == row)
            signed = torch.where(sign < 0.5, -amount, amount) if name in SIGNED else amount
            changed = apply(images, torch.where(mine, signed, 0.0).float())
            result = torch.where(mine[:, None, None, None], changed, result)
    return result


@cache
def _table(
    names: Sequence[str], steps: Sequence[int | None], of: int, side: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The rows in `OPERATIONS` and the unsigned magnitudes (double) of some operations at some of `of` steps."""
    rows = [list(OPERATIONS).index(name) for name in names]
    amounts = [magnitude(name, step, steps=of, side=side) for name, step in zip(names, steps, strict=True)]
    return torch.tensor(rows, device=device), _numbers(tuple(amounts), device)


@cache
def _numbers(values: Sequence[float], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=device)
