"""B · E(∇L̂)² of sampled labels is the Gauss-Newton diagonal of the training loss, whichever loss that is.

The expectation is exact: all labels that could be drawn are gone through, each with its probability.
"""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ire import fisher_trace, sampled_nll
from ire.optim.curvature import sampling

F64 = torch.float64
ROWS, FEATURES = 2, 3


def rows(n=ROWS):
    return torch.randn(n, FEATURES, generator=torch.Generator().manual_seed(3), dtype=F64)


def head(outputs):
    torch.manual_seed(1)
    return nn.Linear(FEATURES, outputs).to(F64)


def gauss_newton(model, forward, loss):
    """The diagonal of Jᵀ ∇²loss J, J being the Jacobian of the outputs in the parameters."""
    ps = list(model.parameters())
    z = forward(model).detach()
    outer = torch.autograd.functional.hessian(loss, z).reshape(z.numel(), z.numel())
    elements = forward(model).reshape(-1)
    jacobian = torch.stack(
        [
            torch.cat([g.reshape(-1) for g in torch.autograd.grad(element, ps, retain_graph=True)])
            for element in elements
        ]
    )
    return torch.einsum("ip,ij,jp->p", jacobian, outer, jacobian)


def expected_squares(model, forward, monkeypatch, arguments, outcomes):
    """E(∇L̂)² over all `outcomes`: pairs of labels and their probability."""
    ps, total = list(model.parameters()), 0
    for labels, probability in outcomes:
        monkeypatch.setattr(sampling, "_draw", lambda *_, labels=labels: labels)
        monkeypatch.setattr(sampling, "_draw_bernoulli", lambda *_, labels=labels: labels)
        monkeypatch.setattr(sampling, "_draw_gaussian", lambda v, labels=labels: lambda *_: labels)
        gradient = torch.autograd.grad(sampled_nll(forward(model), **arguments), ps)
        total = total + probability * torch.cat([g.reshape(-1) for g in gradient]).square()
    return total


def classes(logits):
    """All labels of `logits` (..., C) with their probabilities."""
    p = logits.detach().softmax(-1).reshape(-1, logits.shape[-1])
    for labels in itertools.product(range(p.shape[1]), repeat=len(p)):
        chance = math.prod(float(p[i, c]) for i, c in enumerate(labels))
        yield torch.tensor(labels).view(logits.shape[:-1]), chance


def bits(logits):
    p = logits.detach().sigmoid().reshape(-1)
    for labels in itertools.product((0, 1), repeat=len(p)):
        chance = math.prod(float(q if bit else 1 - q) for q, bit in zip(p, labels, strict=True))
        yield torch.tensor(labels, dtype=F64).view(logits.shape), chance


def signs(means, variance):
    """Two points a standard deviation away have the second moments of the normal distribution."""
    for signs in itertools.product((-1, 1), repeat=means.numel()):
        noise = torch.tensor(signs, dtype=F64).view(means.shape) * variance**0.5
        yield means.detach() + noise, 0.5 ** means.numel()


WEIGHT = torch.tensor([0.5, 3.0, 1.0], dtype=F64)
LABELS = torch.tensor([1, 2])
DENSE = torch.tensor([[1, 2]])


@pytest.mark.parametrize(
    "arguments, loss",
    [
        ({}, lambda z: F.cross_entropy(z, LABELS)),
        ({}, lambda z: F.cross_entropy(z, LABELS, label_smoothing=0.2)),
        ({"weight": WEIGHT, "targets": LABELS}, lambda z: F.cross_entropy(z, LABELS, weight=WEIGHT)),
        (
            {"weight": WEIGHT, "targets": LABELS, "label_smoothing": 0.2},
            lambda z: F.cross_entropy(z, LABELS, weight=WEIGHT, label_smoothing=0.2),
        ),
    ],
)
def test_cross_entropy_with_class_weights_and_smoothing(arguments, loss, monkeypatch):
    model, x = head(3), rows()
    exact = gauss_newton(model, lambda m: m(x), loss)
    found = expected_squares(model, lambda m: m(x), monkeypatch, arguments, classes(model(x)))
    torch.testing.assert_close(ROWS * found, exact, rtol=1e-10, atol=1e-14)


def test_class_weights_leave_ignored_positions_out(monkeypatch):
    model, x, labels = head(3), rows(), torch.tensor([-100, 2])
    exact = gauss_newton(model, lambda m: m(x), lambda z: F.cross_entropy(z, labels, weight=WEIGHT))
    arguments = {"weight": WEIGHT, "targets": labels}
    found = expected_squares(model, lambda m: m(x), monkeypatch, arguments, classes(model(x)))
    torch.testing.assert_close(found, exact, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("arguments", [{}, {"targets": DENSE}])
def test_classes_on_the_axis_that_segmentation_has(arguments, monkeypatch):
    model, x = head(3), rows()

    def forward(m):  # (1, C, 2)
        return m(x).T.unsqueeze(0)

    exact = gauss_newton(model, forward, lambda z: F.cross_entropy(z, DENSE))
    outcomes = classes(forward(model).movedim(1, -1))
    found = expected_squares(model, forward, monkeypatch, {"class_axis": 1} | arguments, outcomes)
    torch.testing.assert_close(2 * found, exact, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("squeezed", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_sigmoids_of_one_logit_and_of_several_labels(outputs, squeezed, weighted, monkeypatch):
    model, x = head(outputs), rows()

    def forward(m):
        return m(x).flatten() if squeezed else m(x)

    shape = forward(model).shape
    labels = (torch.arange(shape.numel()) % 2).to(F64).view(shape)
    weights = {"pos_weight": torch.tensor(3.0, dtype=F64), "weight": torch.tensor(0.5, dtype=F64)}
    arguments = weights | {"targets": labels} if weighted else {}

    def loss(z):
        return F.binary_cross_entropy_with_logits(z, labels, **(weights if weighted else {}))

    arguments = {"likelihood": "bernoulli"} | arguments
    found = expected_squares(model, forward, monkeypatch, arguments, bits(forward(model)))
    exact = gauss_newton(model, forward, loss)
    torch.testing.assert_close(shape.numel() * found, exact, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_weighted_elements_that_do_not_count_are_left_out(likelihood, monkeypatch):
    """The weight of a label that does not count may have no root."""
    model, x, labels = head(2), rows(), torch.tensor([[1.0, -100.0], [0.0, 1.0]], dtype=F64)
    counts = labels != -100
    weight = torch.tensor([[0.5, 1.0], [2.0, 0.3]], dtype=F64)
    arguments = {"likelihood": likelihood, "targets": labels, "weight": weight}
    pos_weight = torch.tensor([3.0, 2.0], dtype=F64)
    if likelihood == "bernoulli":
        arguments["pos_weight"] = pos_weight

    def loss(z):
        z, y, w = z[counts], labels[counts], weight[counts]
        if likelihood == "gaussian":
            return (w * (z - y).square()).mean()
        of_labels = pos_weight.expand(2, 2)[counts]
        return F.binary_cross_entropy_with_logits(z, y, weight=w, pos_weight=of_labels)

    exact = gauss_newton(model, lambda m: m(x), loss)
    outcomes = bits(model(x)) if likelihood == "bernoulli" else signs(model(x), 0.5)
    found = expected_squares(model, lambda m: m(x), monkeypatch, arguments, outcomes)
    torch.testing.assert_close(counts.sum() * found, exact, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("variance, factor", [(0.5, 1.0), (1.0, 0.5)])
def test_gaussian_regression(variance, factor, monkeypatch):
    model, x, y = head(2), rows(), torch.zeros(ROWS, 2, dtype=F64)
    exact = gauss_newton(model, lambda m: m(x), lambda z: factor * F.mse_loss(z, y))
    arguments = {"likelihood": "gaussian", "variance": variance}
    found = expected_squares(model, lambda m: m(x), monkeypatch, arguments, signs(model(x), variance))
    torch.testing.assert_close(2 * ROWS * found, exact, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_draws_have_the_right_mean_and_spread(likelihood):
    z = torch.tensor([0.7, -1.2]).repeat(100_000, 1).requires_grad_()
    loss = sampled_nll(z, likelihood=likelihood, generator=torch.Generator().manual_seed(0))
    [gradient] = torch.autograd.grad(loss * z.numel(), z)
    p = torch.tensor([0.7, -1.2]).sigmoid()
    variance = p * (1 - p) if likelihood == "bernoulli" else torch.full((2,), 2.0)
    torch.testing.assert_close(gradient.mean(0), torch.zeros(2), atol=0.02, rtol=0)
    torch.testing.assert_close(gradient.square().mean(0), variance, rtol=0.02, atol=0)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_two_workers_draw_what_one_would(likelihood):
    z = torch.randn(6, 2, generator=torch.Generator().manual_seed(2))

    def loss(part, **where):
        return sampled_nll(part, likelihood=likelihood, generator=torch.Generator().manual_seed(7), **where)

    parts = [loss(z[3 * r : 3 * r + 3], rank=r, world_size=2) for r in range(2)]
    torch.testing.assert_close(sum(parts) / 2, loss(z))


def test_elements_that_do_not_count_have_no_gradient():
    z = torch.zeros(3, 2, requires_grad=True)
    targets = torch.tensor([[1.0, 0.0], [-100.0, 1.0], [0.0, 0.0]])
    sampled_nll(z, likelihood="bernoulli", targets=targets).backward()
    assert torch.equal(z.grad != 0, targets != -100)


@pytest.mark.parametrize(
    "shape, arguments, message",
    [
        ((16, 1), {}, "use likelihood='bernoulli' for a single logit"),
        ((16,), {}, r"must have shape \(..., classes\), got \(16,\)"),
        ((2, 5, 8, 8), {}, "Name it: class_axis=1"),
        ((2, 5, 8), {"targets": torch.zeros(2, 8, dtype=torch.long)}, "name their axis: class_axis=1"),
        ((2, 5), {"class_axis": 2}, "class_axis=2 is no axis"),
        ((2, 5), {"likelihood": "poisson"}, "one of categorical, bernoulli, gaussian, got 'poisson'"),
        ((2, 5), {"likelihood": "bernoulli", "class_axis": 1}, "has no classes"),
        ((2, 1), {"likelihood": "bernoulli", "targets": torch.zeros(2)}, "must have the shape of logits"),
        ((2, 5), {"weight": torch.ones(5)}, "depend on the true labels: also give targets"),
        ((2, 5), {"weight": torch.ones(4), "targets": LABELS}, "one entry per class"),
        ((2, 5), {"weight": -torch.ones(5), "targets": LABELS}, "finite and >= 0"),
        ((2, 5), {"pos_weight": torch.ones(1)}, "belongs to likelihood='bernoulli'"),
        ((2, 5), {"likelihood": "gaussian", "variance": 0}, "variance must be finite and > 0, got 0"),
        ((2, 5), {"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\), got 1.0"),
        ((2, 5), {"label_smoothing": "0.1"}, "label_smoothing must be a number, got '0.1'"),
        ((2, 5), {"variance": None}, "variance must be a number, got None"),
        ((2, 5), {"rank": 0.0}, "rank must be a whole number, got 0.0"),
        ((2, 5), {"class_axis": "1"}, "class_axis='1' is no axis"),
        ((2, 5), {"class_axis": True}, "class_axis=True is no axis"),
        ((2, 5), {"targets": [1, 2]}, "targets must be a tensor, got list"),
        ((2, 5), {"targets": torch.ones(2, 5)}, "if the targets are probabilities, leave them out"),
        ((2, 5), {"targets": LABELS, "weight": [1.0] * 5}, "weight must be a tensor, got list"),
        (
            (2, 5),
            {"likelihood": "bernoulli", "weight": torch.ones(2)},
            r"must broadcast .* \(2, 5\), got \(2,\)",
        ),
        ((2, 5), {"likelihood": "gaussian", "weight": torch.ones(3, 2, 5)}, "weight must broadcast"),
        ((2, 5), {"targets": torch.tensor([1, 7]), "weight": torch.ones(5)}, "from 0 to 4, .* got 1 to 7"),
        ((2, 5), {"targets": torch.tensor([1, -1]), "weight": torch.ones(5)}, "from 0 to 4, .* got -1 to 1"),
        ((2, 5), {"targets": torch.tensor([1.0, 0.0])}, "in an integer type, got torch.float32"),
        ((2, 5), {"targets": torch.tensor([True, False])}, "in an integer type, got torch.bool"),
        ((2, 5), {"likelihood": "bernoulli", "label_smoothing": 0.1}, "belongs to likelihood='categorical'"),
        ((2, 5), {"variance": 2.0}, "belongs to likelihood='gaussian', got 'categorical'"),
        ((2, 5), {"generator": 7}, "generator must be a torch.Generator or None, got 7"),
    ],
)
def test_shapes_and_settings_without_a_meaning_are_refused(shape, arguments, message):
    with pytest.raises(ValueError, match=message):
        sampled_nll(torch.zeros(shape), **arguments)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
@pytest.mark.parametrize("likelihood", ["categorical", "bernoulli", "gaussian"])
def test_logits_that_are_no_real_numbers_are_refused(dtype, likelihood):
    with pytest.raises(ValueError, match="logits must be real floating-point numbers, got"):
        sampled_nll(torch.zeros(2, 3, dtype=dtype), likelihood=likelihood)


def test_the_trace_counts_every_position_once():
    """A batch of one row weighs a ninth of a batch of nine."""
    model, batches = head(3), [rows(9) * 3, rows(1) * 0]

    def exact(x):
        return gauss_newton(model, lambda m: m(x), lambda z: F.cross_entropy(z, z.argmax(-1))).sum().item()

    found = fisher_trace(model, batches, draws=1000, generator=torch.Generator().manual_seed(0))
    assert found.value == pytest.approx(exact(torch.cat(batches)), abs=4 * found.error)
    assert abs(found.value - (exact(batches[0]) + exact(batches[1])) / 2) > 10 * found.error


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_trace_of_other_likelihoods(likelihood):
    model, x = head(2), rows(5)
    losses = {"bernoulli": F.binary_cross_entropy_with_logits, "gaussian": F.mse_loss}
    y = torch.zeros(5, 2, dtype=F64)
    exact = gauss_newton(model, lambda m: m(x), lambda z: losses[likelihood](z, y)).sum().item()
    generator = torch.Generator().manual_seed(0)
    found = fisher_trace(model, [x], draws=2000, likelihood=likelihood, generator=generator)
    assert found.value == pytest.approx(exact, abs=4 * found.error)
