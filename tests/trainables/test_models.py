"""Networks have the sizes that the literature reports."""

import pytest
import torch

from trainables.invalid_input import InvalidInput
from trainables.models.cifar_resnet import CifarResNet
from trainables.models.wide_resnet import WideResNet
from trainables.task import load_task

MODELS = [
    (lambda: CifarResNet(depth=20, classes=10), 0.27e6, "He et al. 2016, Table 6"),
    (lambda: CifarResNet(depth=56, classes=10), 0.85e6, "He et al. 2016, Table 6"),
    (lambda: CifarResNet(depth=110, classes=10), 1.7e6, "He et al. 2016, Table 6"),
    (lambda: WideResNet(depth=28, widening=10, classes=10), 36.5e6, "Zagoruyko and Komodakis 2016, Table 5"),
    (lambda: WideResNet(depth=16, widening=8, classes=10), 11.0e6, "Zagoruyko and Komodakis 2016, Table 5"),
    (lambda: load_task("cifar10-wrn16-8").network(), 11.0e6, "Zagoruyko and Komodakis 2016, Table 5"),
    (lambda: load_task("cifar100-wrn28-10").network(), 36.5e6, "Zagoruyko and Komodakis 2016, Table 5"),
    (lambda: load_task("imagenet-resnet50").network(1000), 25.6e6, "He et al. 2016"),
    (lambda: load_task("imagenet-vit-s").network(1000), 22e6, "Touvron et al. 2021, Table 1"),
    (
        lambda: load_task("cifar100-vit-s").network(),
        21.3e6,
        "ViT-S without its 16x16 patches and 1000 classes",
    ),
    (lambda: load_task("cifar100-vit-t").network(), 5.4e6, "ViT-T, likewise"),
]


@pytest.mark.parametrize(("build", "literature", "source"), MODELS)
def test_parameters_are_those_of_the_literature(build, literature, source):
    with torch.device("meta"):
        count = sum(p.numel() for p in build().parameters())
    assert count == pytest.approx(literature, rel=0.02), source


@pytest.mark.parametrize(
    "build", [lambda: CifarResNet(depth=8, classes=7), lambda: WideResNet(depth=10, widening=1, classes=7)]
)
def test_images_of_any_size_become_logits(build):
    for side in (32, 16):
        assert build()(torch.randn(2, 3, side, side)).shape == (2, 7)


@pytest.mark.parametrize(
    "build", [lambda: CifarResNet(depth=55, classes=10), lambda: WideResNet(depth=15, widening=8, classes=10)]
)
def test_an_impossible_depth_is_refused(build):
    with pytest.raises(InvalidInput, match="must be 6n"):
        build()
