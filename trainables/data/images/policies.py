"""AutoAugment and RandAugment as functions of a batch and its random numbers, a batch at a time.

Magnitudes are torchvision's: AutoAugment counts ten steps, RandAugment 31.
"""

import torch
from torch import Tensor

from trainables.data.images.image_ops import OPERATIONS

AUTO_DRAWS = 5  # uniform numbers an image: which policy; for each operation, whether, and its sign

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
    """How much an operation does at a `step` of its scale, for images of `side` pixels; without its sign."""
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
    return 0.0


def auto_augment(images: Tensor, draws: Tensor) -> Tensor:
    """A policy of `CIFAR10_POLICY` for each of the uint8 `images` (b, 3, h, w); `draws` (b, 5) in [0, 1)."""
    chosen, *rest = draws.cpu().unbind(1)
    policies = [CIFAR10_POLICY[int(draw * len(CIFAR10_POLICY))] for draw in chosen.tolist()]
    for turn in range(2):
        whether, sign = (part.tolist() for part in rest[2 * turn : 2 * turn + 2])
        operations = [
            (name, step) if draw < probability else ("Identity", None)
            for (name, probability, step), draw in zip((p[turn] for p in policies), whether, strict=True)
        ]
        images = _applied(images, operations, sign, steps=10)
    return images


def rand_draws(operations: int) -> int:
    """Uniform numbers an image: which operation, and its sign, for each."""
    return 2 * operations


def rand_augment(images: Tensor, draws: Tensor, *, strength: int) -> Tensor:
    """Random operations at one `strength` of 31 for each uint8 image; `draws` (b, 2n) for n operations."""
    for which, sign in draws.cpu().view(len(draws), -1, 2).permute(1, 2, 0):
        operations = [
            (RAND_OPERATIONS[int(draw * len(RAND_OPERATIONS))], strength) for draw in which.tolist()
        ]
        images = _applied(images, operations, sign.tolist(), steps=31)
    return images


def _applied(
    images: Tensor, operations: list[tuple[str, int | None]], sign: list[float], *, steps: int
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
