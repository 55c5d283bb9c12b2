"""The numbers of the two-dimensional problem: Wang et al. 2024, Fig. 1 and Theorems 5.5 and 5.6."""

import math
import statistics
from itertools import islice, takewhile

import pytest
import torch

from ire import IRE
from ire.toy.problem import START, after, climb, descend, effective_rate, loss, measured_rate


@pytest.mark.parametrize(
    "kappa, u, steps", [(0, 0.99367, 695), (90, 0.92849, 68), (900, 0.74259, 18), (9000, 0.00998, 3)]
)
def test_goes_where_the_paper_goes(kappa, u, steps):
    assert after(100, descend(1, kappa)).u == pytest.approx(u, abs=5e-6)
    assert sum(1 for _ in takewhile(lambda at: loss(at) >= 1e-12, descend(1, kappa))) == steps


def test_gradient_descent_of_twice_the_rate_diverges():
    path = list(islice(descend(2), 9))
    assert path[5] == pytest.approx((-0.2037, -1.8994), abs=1e-4)
    assert any(abs(u) > 1e6 for u, _ in islice(descend(2), 11))


@pytest.mark.parametrize("kappa, bounded", [(19_998, True), (20_500, False)])
def test_is_stable_up_to_the_bound(kappa, bounded):
    farthest = max(abs(u) for u, _ in islice(descend(1, kappa), 50))
    assert (farthest <= 1.01) == bounded


def test_one_step_reaches_the_flattest_minimum():
    assert after(1, descend(1, 9999)).u == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("kappa", [90, 900, 9000])
def test_the_optimizer_with_its_mask_goes_there_too(kappa):
    """The mask of γ = 1/2 out of the diagonal of the Hessian is the exact projection."""
    theta = torch.nn.Parameter(torch.tensor(START, dtype=torch.float64))
    optimizer = IRE(torch.optim.SGD([theta], lr=1.0), kappa=kappa, gamma=0.5, interval=1)
    for _ in range(100):
        u, v = theta.detach()
        theta.grad = torch.stack([v**2, 1 + u**2])
        optimizer.update_mask()
        u, v = theta
        ((1 + u**2) * v**2 / 2).backward()
        optimizer.step()
        optimizer.zero_grad()
    expected = after(100, descend(1, kappa))
    torch.testing.assert_close(theta.tolist(), list(expected), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kappa", [0, 1, 10, 20])
def test_the_effective_rate_of_sam(kappa):
    """Constant in κ up to 1/ρ, and larger than the law by a share of order ρ + η."""
    ratio = measured_rate(0.05, 0.05, kappa) / effective_rate(0.05, 0.05, kappa)
    assert ratio == pytest.approx(1.085, abs=0.01)


@pytest.mark.parametrize("kappa", [0, 10, 20])
def test_the_effective_rate_of_average_sam(kappa):
    rates = [measured_rate(0.05, 0.05, kappa, average=True, seed=seed) for seed in range(6)]
    ratio = statistics.fmean(rates) / effective_rate(0.05, 0.05, kappa, average=True)
    assert ratio == pytest.approx(1.05, abs=0.03)


def test_the_boost_does_not_widen_the_oscillation():
    """As far as the run goes while u > 1/2, |v| stays within what SAM alone has at u = 1."""
    settled = 0.05 * 0.05 * 2 / (2 - 0.05 * 2)  # |v| = η ρ (1 + u²) / (2 − η (1 + u²))
    for kappa in (0, 10, 20):
        path = islice(climb(0.05, 0.05, kappa, start=(1.0, settled)), 200)
        assert max(abs(v) for _, v in path) < 1.01 * settled
    assert math.isclose(settled, 0.00263, rel_tol=1e-2)
