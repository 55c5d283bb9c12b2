"""Augmentation on an accelerator decides and does what it does on the CPU, and never looks at a number."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from trainables.data.images.crop_flip import crop_and_flip
from trainables.data.images.policies import (
    AUTO_DRAWS,
    auto_augment,
    auto_augment_on_device,
    rand_augment,
    rand_augment_on_device,
    rand_draws,
)


def images(count=400):
    draws = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 4, 4, generator=draws)
    return (torch.nn.functional.interpolate(coarse, size=12, mode="bilinear") * 255).to(torch.uint8)


def uniform(count, numbers):
    return torch.rand(count, numbers, generator=torch.Generator().manual_seed(1))


AUGMENTATIONS = {
    "auto": (auto_augment, auto_augment_on_device, AUTO_DRAWS),
    "rand": (
        lambda x, d: rand_augment(x, d, strength=15),
        lambda x, d: rand_augment_on_device(x, d, strength=15),
        rand_draws(2),
    ),
}


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_image_becomes_what_it_becomes_on_the_cpu(name):
    on_cpu, on_device, numbers = AUGMENTATIONS[name]
    pictures, draws = images(), uniform(400, numbers)
    off = (on_cpu(pictures, draws).int() - on_device(pictures, draws).int()).abs()
    assert off.max() <= 1  # of 255: sums over batches of other sizes are rounded differently
    assert (off > 0).float().mean() < 1e-3


class Reads(TorchDispatchMode):
    """Every operation that brings a number to the host, or one from there."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = str(function)
        if any(part in name for part in ("_local_scalar_dense", "nonzero", "lift_fresh", "masked_select")):
            self.found.append(name)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", [*AUGMENTATIONS, "crop and flip"])
def test_nothing_is_read_from_the_device_and_no_table_is_brought_there_again(name):
    if name in AUGMENTATIONS:
        _, apply, numbers = AUGMENTATIONS[name]
    else:
        apply, numbers = crop_and_flip, 3
    pictures, draws = images(8), uniform(8, numbers)
    apply(pictures, draws)  # the tables stay
    with Reads() as reads:
        apply(pictures, draws)
    assert not reads.found
