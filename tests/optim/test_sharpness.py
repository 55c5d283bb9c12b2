"""Each measure of sharpness against the dense matrix, in float64, on a model of 67 parameters."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ire.optim.curvature.sharpness import Estimate, fisher_trace, hessian_trace, largest_eigenvalue


def losses_of(model, make_batch):
    batches = [make_batch(step) for step in range(2)]
    return [lambda x=x, y=y: F.cross_entropy(model(x), y) for x, y in batches]


def dense_hessian(losses, parameters):
    total = 0
    for loss in losses:
        gradient = torch.cat(
            [g.reshape(-1) for g in torch.autograd.grad(loss(), parameters, create_graph=True)]
        )
        rows = [
            torch.cat([h.reshape(-1) for h in torch.autograd.grad(g, parameters, retain_graph=True)])
            for g in gradient
        ]
        total = total + torch.stack(rows) / len(losses)
    return total


def dense_fisher_trace(model, inputs):
    """(1/n) Σ_x Σ_y p(y|x) ‖∇ log p(y|x)‖²"""
    total = 0.0
    for x in inputs.reshape(-1, inputs.shape[-1]):
        log_p = model(x).log_softmax(-1)
        for entry in log_p:
            g = torch.autograd.grad(entry, list(model.parameters()), retain_graph=True)
            total += (entry.exp() * sum(part.square().sum() for part in g)).item()
    return total / inputs[..., 0].numel()


@pytest.mark.parametrize("sequence", [False, True])
def test_fisher_trace(sequence, make_model, make_batch):
    model, inputs = make_model(), make_batch(0)[0]
    inputs = inputs.reshape(2, 4, 5) if sequence else inputs
    estimate = fisher_trace(model, [inputs], draws=400, generator=torch.Generator().manual_seed(0))
    exact = dense_fisher_trace(model, inputs)
    assert abs(estimate.value - exact) < 4 * estimate.error < 0.3 * exact


def test_fisher_trace_leaves_out_ignored_positions_and_touches_nothing(make_model, make_batch):
    model, (inputs, targets) = make_model(), make_batch(0)
    targets[3:] = -100
    some, all_ = (
        fisher_trace(model, batch, draws=300, generator=torch.Generator().manual_seed(1))
        for batch in ([(inputs, targets)], [inputs[:3]])
    )
    assert abs(some.value - all_.value) < 4 * math.hypot(some.error, all_.error)
    assert all(p.grad is None for p in model.parameters())


def test_hessian_trace(make_model, make_batch):
    model = make_model()
    parameters, losses = list(model.parameters()), losses_of(model, make_batch)
    exact = float(dense_hessian(losses, parameters).trace())
    estimate = hessian_trace(losses, parameters, probes=300, generator=torch.Generator().manual_seed(0))
    assert abs(estimate.value - exact) < 4 * estimate.error < 0.5 * abs(exact)


def test_largest_eigenvalue(make_model, make_batch):
    model = make_model()
    parameters, losses = list(model.parameters()), losses_of(model, make_batch)
    exact = float(torch.linalg.eigvalsh(dense_hessian(losses, parameters))[-1])
    generator = torch.Generator().manual_seed(0)
    estimate = largest_eigenvalue(losses, parameters, tolerance=1e-6, products=60, generator=generator)
    assert abs(estimate.value - exact) <= max(estimate.error, 1e-9) and estimate.error < 1e-5 * exact
    early = largest_eigenvalue(losses, parameters, products=6, generator=generator)
    assert abs(early.value - exact) <= early.error


def test_the_largest_eigenvalue_of_a_known_matrix():
    w = torch.ones(3, dtype=torch.float64, requires_grad=True)
    scale = torch.tensor([3.0, -7.0, 0.5], dtype=torch.float64)
    estimate = largest_eigenvalue([lambda: (scale * w**2).sum() / 2], [w])
    assert estimate.value == pytest.approx(3) and float(estimate) == estimate.value


def test_batch_norm_statistics_stay(make_batch):
    model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)).double()
    before = [b.clone() for b in model.buffers()]
    assert fisher_trace(model, [make_batch(0)[0]]).value > 0
    assert all(torch.equal(a, b) for a, b in zip(before, model.buffers(), strict=True))


def test_parameters_may_come_from_a_generator_as_a_model_gives_them():
    model = nn.Linear(2, 1, bias=False).double()
    losses = [lambda: model.weight.square().sum()]
    assert hessian_trace(losses, model.parameters()).value == pytest.approx(4)
    assert largest_eigenvalue(losses, model.parameters()).value == pytest.approx(2)


def test_an_eigenvalue_that_is_not_finite_is_nan():
    for factor in (math.nan, math.inf):
        estimate = largest_eigenvalue([lambda factor=factor: factor * ONES.square().sum()], [ONES])
        assert math.isnan(estimate.value) and math.isnan(estimate.error)


ONES = torch.ones(3, requires_grad=True)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: fisher_trace(nn.Linear(2, 2), []), "got no batches"),
        (lambda: fisher_trace(nn.Linear(2, 2), [torch.ones(1, 2)], draws=0), "draws must be >= 1, .* got 0"),
        (lambda: fisher_trace(nn.Linear(2, 2), [torch.ones(1, 2)], draws=1.5), "a whole number, got 1.5"),
        (
            lambda: fisher_trace(nn.Linear(2, 2), [(torch.ones(1, 2),) * 3]),
            r"\(inputs, targets\), got 3 things",
        ),
        (lambda: fisher_trace(nn.Linear(2, 2).requires_grad_(False), [torch.ones(1, 2)]), "is frozen"),
        (lambda: hessian_trace(lambda: ONES.sum(), [ONES]), "losses must be a list of functions"),
        (lambda: hessian_trace([ONES.sum()], [ONES]), "losses must be a list of functions"),
        (lambda: hessian_trace([ONES.sum], [ONES, ONES.detach()]), "leave them out"),
        (lambda: hessian_trace([], []), "there are no losses"),
        (lambda: hessian_trace([], [], probes=0), "probes must be >= 1, .* got 0; the error"),
        (lambda: largest_eigenvalue([], [], products=0), "products must be >= 1, .* got 0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_one_draw_knows_no_error():
    estimate = fisher_trace(nn.Linear(2, 2), [torch.ones(1, 2)])
    assert isinstance(estimate, Estimate) and math.isnan(estimate.error)
