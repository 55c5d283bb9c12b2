"""Layers by another route: the same values, first and second derivatives as torch's own, in float64."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from trainables.penalties import differentiable_twice

CONVOLUTIONS = {
    "3x3": {"padding": 1},
    "stride": {"stride": 2, "padding": 1},
    "dilation": {"dilation": 2, "padding": (2, 1)},
    "groups": {"groups": 2},
    "a word": {"padding": "same"},
}


def double(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def twice(function, *inputs):
    with differentiable_twice():
        return function(*inputs)


def check(function, *inputs) -> None:
    """Against finite differences, and value for value against torch."""
    torch.testing.assert_close(twice(function, *inputs), function(*inputs), rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(lambda *xs: twice(function, *xs), inputs)
    assert torch.autograd.gradgradcheck(lambda *xs: twice(function, *xs), inputs)


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("how", CONVOLUTIONS.values(), ids=CONVOLUTIONS.keys())
def test_convolutions(how, with_bias):
    torch.manual_seed(0)
    inputs = [double(2, 2, 5, 4), double(4, 2 // how.get("groups", 1), 3, 3)]
    if with_bias:
        inputs.append(double(4))
    check(lambda x, w, b=None: F.conv2d(x, w, b, **how), *inputs)


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 2, 2), (4, 3, 6)])
def test_batch_norm(shape):
    torch.manual_seed(0)
    check(lambda x, w, b: F.batch_norm(x, None, None, w, b, True), double(*shape), double(3), double(3))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_batch_norms_running_statistics_are_torchs(training, affine):
    torch.manual_seed(0)
    images = torch.randn(6, 3, 4, 4)
    layers = [nn.BatchNorm2d(3, affine=affine).train(training) for _ in range(2)]
    outputs = [layers[0](images), twice(layers[1], images)]
    assert torch.equal(*outputs)
    for a, b in zip(*(layer.state_dict().values() for layer in layers), strict=True):
        assert torch.equal(a, b)


def test_only_what_is_wanted_is_differentiated():
    """Images need no gradient, and a frozen weight none, either."""
    layer = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 2, 3)).double()
    layer[3].weight.requires_grad_(False)
    images = torch.randn(3, 1, 6, 6, dtype=torch.float64)
    wanted = [p for p in layer.parameters() if p.requires_grad]

    def penalty_gradient(forward):
        slopes = torch.autograd.grad(forward(images).square().sum(), wanted, create_graph=True)
        return torch.autograd.grad(sum(s.square().sum() for s in slopes), wanted)

    for a, b in zip(penalty_gradient(layer), penalty_gradient(lambda x: twice(layer, x)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
