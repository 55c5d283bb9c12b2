"""Each penalty and its gradient against dense matrices in float64: explicit Jacobians, explicit Hessians."""

import itertools

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jacrev
from torch.nn import functional as F

from trainables.penalties import SCALARS, MicroBatch, differentiable_twice, penalized_gradient
from trainables.tasks.digits import Digits

CLASSES, EXAMPLES, SEED, WEIGHT = 3, 5, 11, 0.3


def smooth_mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.Tanh(), nn.Linear(4, CLASSES))


class ElementaryNorm(nn.BatchNorm2d):
    """Batch norm in elementary operations: torch.func gives wrong second derivatives of the built-in one."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        variance, mean = torch.var_mean(images, (0, 2, 3), correction=0, keepdim=True)
        scale, shift = self.weight.view(1, -1, 1, 1), self.bias.view(1, -1, 1, 1)
        return (images - mean) / (variance + self.eps).sqrt() * scale + shift


def normed_convolution(norm: type[nn.Module] = nn.BatchNorm2d) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, stride=2, bias=False),
        norm(2),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(2, CLASSES),
    )


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, CLASSES))


NETWORKS = [smooth_mlp, normed_convolution, linear]


def case(build):
    torch.manual_seed(0)
    network = build().double()
    images = torch.randn(EXAMPLES, 1, 4, 4, dtype=torch.float64)
    labels = torch.randint(CLASSES, (EXAMPLES,))
    shapes = {name: p.shape for name, p in network.named_parameters()}
    flat = torch.cat([p.detach().flatten() for p in network.parameters()])
    twin = normed_convolution(ElementaryNorm).double() if build is normed_convolution else network

    def logits(theta: torch.Tensor) -> torch.Tensor:
        parts = theta.split([shape.numel() for shape in shapes.values()])
        named = {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
        return functional_call(twin, named, (images,))

    return network, images, labels, flat, logits


def drawn_labels(logits: torch.Tensor) -> torch.Tensor:
    """The first class whose cumulative probability exceeds the draw, from a generator of the same seed."""
    draws = torch.rand(EXAMPLES, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)
    cumulative = logits.detach().softmax(-1).cumsum(-1)
    return (cumulative <= draws[:, None] * cumulative[:, -1:]).sum(-1)


def drawn_direction() -> torch.Tensor:
    u = torch.randn(CLASSES, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)
    return u / u.norm()


def dense(name: str, logits, theta, labels) -> tuple[float, torch.Tensor]:
    """The penalty and its gradient 2 H ∇s, or for the Jacobian penalties ‖Jᵀv‖² and its gradient, by definition."""
    if name in ("gn", "ft"):
        targets = labels if name == "gn" else drawn_labels(logits(theta))

        def scalar(theta):
            return F.cross_entropy(logits(theta), targets)

        slope, hessian = grad(scalar)(theta), jacrev(jacrev(scalar))(theta)
        return slope.square().sum().item(), 2 * hessian @ slope
    v = torch.ones(CLASSES, dtype=torch.float64) if name == "aj" else drawn_direction()

    def penalty(theta):
        jacobian = jacrev(lambda t: logits(t).mean(0))(theta)  # (C, p)
        return (v @ jacobian).square().sum()

    return penalty(theta).item(), jacrev(penalty)(theta)


def flattened(gradient, parameters) -> torch.Tensor:
    return torch.cat(
        [
            torch.zeros(p.numel()).to(p) if g is None else g.flatten()
            for g, p in zip(gradient, parameters, strict=True)
        ]
    )


@pytest.mark.parametrize("build", NETWORKS)
@pytest.mark.parametrize("name", SCALARS)
def test_value_and_gradient_are_those_of_dense_matrices(name, build):
    network, images, labels, theta, logits = case(build)
    penalty, penalty_gradient = dense(name, logits, theta, labels)
    loss_gradient = grad(lambda t: F.cross_entropy(logits(t), labels))(theta)

    with differentiable_twice():
        outputs = network(images)
    loss = F.cross_entropy(outputs, labels)
    scalar = SCALARS[name](
        MicroBatch(
            task=Digits(),
            batch=(images, labels),
            outputs=outputs,
            loss=loss,
            generator=torch.Generator().manual_seed(SEED),
        )
    )
    parameters = list(network.parameters())
    found = penalized_gradient(loss, scalar, parameters, WEIGHT)
    assert found.penalty.item() == pytest.approx(penalty, rel=1e-10)
    expected = loss_gradient + WEIGHT * penalty_gradient
    torch.testing.assert_close(flattened(found.gradient, parameters), expected, rtol=1e-9, atol=1e-11)
    assert all(p.grad is None for p in parameters), "the parameters' own gradients are not touched"


def test_the_expected_fisher_penalty_is_the_trace_of_the_fisher_matrix_over_the_micro_batch():
    """Over all label draws, weighted by their probability: E‖∇L̂_M‖² = (1/m) · mean over x of Tr F(x)."""
    _, _, _, theta, logits = case(smooth_mlp)
    probabilities = logits(theta).softmax(-1)
    expected = 0.0
    for labels in itertools.product(range(CLASSES), repeat=EXAMPLES):
        chance = torch.stack([probabilities[i, c] for i, c in enumerate(labels)]).prod()
        slope = grad(lambda t, y: F.cross_entropy(logits(t), y))(theta, torch.tensor(labels))
        expected += (chance * slope.square().sum()).item()
    jacobian = jacrev(logits)(theta)  # (m, C, p)
    traces = [
        torch.trace(jacobian[i].T @ (p.diag() - p.outer(p)) @ jacobian[i])
        for i, p in enumerate(probabilities)
    ]
    assert expected == pytest.approx((sum(traces) / EXAMPLES / EXAMPLES).item(), rel=1e-9)


def test_a_parameter_that_nothing_depends_on_has_no_gradient():
    network, images, labels, _, _ = case(linear)
    idle = nn.Parameter(torch.ones(2, dtype=torch.float64))
    loss = F.cross_entropy(network(images), labels)
    found = penalized_gradient(loss, loss, [*network.parameters(), idle], WEIGHT)
    assert [g is None for g in found.gradient] == [False, False, True]


@pytest.mark.parametrize("name", SCALARS)
def test_bf16_autocast_gives_the_gradient_to_bf16(name):
    torch.manual_seed(0)
    task = Digits()
    network = task.model()
    images, labels = (part[:32] for part in task.splits["train"])
    parameters = list(network.parameters())
    gradients = []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled), differentiable_twice():
            outputs = network(images)
            loss = task.loss(outputs, (images, labels))
            scalar = SCALARS[name](
                MicroBatch(
                    task=task,
                    batch=(images, labels),
                    outputs=outputs,
                    loss=loss,
                    generator=torch.Generator().manual_seed(1),
                )
            )
        found = penalized_gradient(loss, scalar, parameters, 0.1)
        assert all(g.dtype == p.dtype for g, p in zip(found.gradient, parameters, strict=True))
        gradients.append(flattened(found.gradient, parameters))
    assert F.cosine_similarity(*gradients, dim=0) > 0.98
