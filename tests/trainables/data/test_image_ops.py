"""Augmentations in batches do to every image what torchvision does to it alone."""

import math

import pytest
import torch

from trainables.data.images.crop_flip import crop_and_flip
from trainables.data.images.image_ops import FILL, OPERATIONS
from trainables.data.images.policies import (
    AUTO_DRAWS,
    CIFAR10_POLICY,
    RAND_OPERATIONS,
    SIGNED,
    auto_augment,
    magnitude,
    rand_augment,
    rand_draws,
)

transforms = pytest.importorskip("torchvision.transforms")
functional = pytest.importorskip("torchvision.transforms.functional")


@pytest.fixture
def images():
    """Ten smooth and noisy pictures, one of them of a single colour."""
    draws = torch.Generator().manual_seed(0)
    coarse = torch.rand(10, 3, 5, 5, generator=draws)
    pictures = torch.nn.functional.interpolate(coarse, size=32, mode="bilinear")
    pictures = (
        (pictures * 255 + 20 * torch.randn(10, 3, 32, 32, generator=draws)).clamp(0, 255).to(torch.uint8)
    )
    pictures[9] = 77
    return pictures


def alone(name, image, amount):
    """torchvision's function for one image (3, h, w)."""
    amount = float(amount)
    grey = [FILL] * 3
    affine = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0], "fill": grey}
    degrees = math.degrees(math.atan(amount))
    calls = {
        "Identity": lambda: image,
        "ShearX": lambda: functional.affine(image, **affine | {"shear": [degrees, 0.0]}, center=[0, 0]),
        "ShearY": lambda: functional.affine(image, **affine | {"shear": [0.0, degrees]}, center=[0, 0]),
        "TranslateX": lambda: functional.affine(image, **affine | {"translate": [int(amount), 0]}),
        "TranslateY": lambda: functional.affine(image, **affine | {"translate": [0, int(amount)]}),
        "Rotate": lambda: functional.rotate(image, amount, fill=grey),
        "Brightness": lambda: functional.adjust_brightness(image, 1 + amount),
        "Color": lambda: functional.adjust_saturation(image, 1 + amount),
        "Contrast": lambda: functional.adjust_contrast(image, 1 + amount),
        "Sharpness": lambda: functional.adjust_sharpness(image, 1 + amount),
        "Posterize": lambda: functional.posterize(image, int(amount)),
        "Solarize": lambda: functional.solarize(image, amount),
        "AutoContrast": lambda: functional.autocontrast(image),
        "Equalize": lambda: functional.equalize(image),
        "Invert": lambda: functional.invert(image),
    }
    return calls[name]()


@pytest.mark.parametrize("step", [0, 3, 9])
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_torchvisions(name, step, images):
    size = magnitude(name, step, steps=10, side=32)
    signs = torch.tensor([1.0, -1.0]).repeat(5) if name in SIGNED else torch.ones(10)
    together = OPERATIONS[name](images, size * signs)
    one_by_one = torch.stack([alone(name, i, size * s) for i, s in zip(images, signs, strict=True)])
    assert together.dtype == torch.uint8
    difference = (together.int() - one_by_one.int()).abs()
    near = difference <= 1  # bytes are cut off, not rounded, after sums in another order
    assert near.float().mean() >= (0.99 if name in ("Rotate", "ShearX", "ShearY") else 1.0)


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "Identity"])
@pytest.mark.parametrize("steps", [10, 31])
def test_magnitudes_are_torchvisions(name, steps):
    space = transforms.AutoAugment()._augmentation_space(steps, (32, 32))
    values, signed = space[name]
    assert signed == (name in SIGNED)
    for step in range(steps) if values.dim() else ():
        wanted = float(values[step])
        wanted = int(wanted) if name.startswith("Translate") else wanted  # it cuts when it applies them
        assert magnitude(name, step, steps=steps, side=32) == pytest.approx(wanted, abs=1e-4)


def test_the_policy_and_the_choice_of_operations_are_torchvisions():
    theirs = transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10).policies
    assert [tuple(map(tuple, policy)) for policy in theirs] == list(CIFAR10_POLICY)
    assert set(RAND_OPERATIONS) == set(transforms.RandAugment()._augmentation_space(31, (32, 32)))


def test_auto_augment_does_what_the_draws_say(images):
    draws = torch.zeros(10, AUTO_DRAWS)
    draws[:, 0] = (21 + 0.5) / 25  # TranslateY 9 with probability 0.9, then with 0.7
    draws[:, 1], draws[:, 3] = 0.5, 0.8
    draws[:, 2] = 0.9  # a positive sign
    moved = auto_augment(images, draws)
    assert torch.equal(moved[:, :, 14:], images[:, :, :18])
    assert (moved[:, :, :14] == FILL).all()


@pytest.mark.parametrize(
    ("augment", "count"),
    [
        (auto_augment, AUTO_DRAWS),
        (lambda images, draws: rand_augment(images, draws, strength=15), rand_draws(2)),
        (crop_and_flip, 3),
    ],
)
def test_half_a_batch_is_augmented_as_in_the_whole(augment, count, images):
    draws = torch.rand(10, count, generator=torch.Generator().manual_seed(1))
    whole = augment(images, draws)
    halves = torch.cat([augment(images[:5], draws[:5]), augment(images[5:], draws[5:])])
    assert torch.equal(whole, halves)
    assert not torch.equal(whole, images)


def test_crop_and_flip_is_a_window_of_the_padded_image_mirrored_or_not(images):
    draws = torch.rand(10, 3, generator=torch.Generator().manual_seed(2))
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
    for result, image, (row, column, mirror) in zip(crop_and_flip(images, draws), padded, draws, strict=True):
        top, left = int(row * 9), int(column * 9)
        window = image[:, top : top + 32, left : left + 32]
        assert torch.equal(result, window.flip(2) if mirror < 0.5 else window)
