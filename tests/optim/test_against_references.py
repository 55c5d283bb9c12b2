"""IRE and SAM against updates written out by hand in float64, one array for the whole model."""

import math

import pytest
import torch
from torch import nn

from ire import IRE, SAM, sampled_nll

KAPPA, GAMMA, INTERVAL, START, STEPS = 3.0, 0.6, 4, 5, 22


class SGDByHand:
    def __init__(self, lr=0.1, momentum=0.9, weight_decay=0.05):
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.buffer = None

    def displacement(self, w, g):
        g = g + self.weight_decay * w
        self.buffer = g if self.buffer is None else self.momentum * self.buffer + g
        return -self.lr * self.buffer


class AdamWByHand:
    def __init__(self, lr=0.01, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1):
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self.m = self.v = 0.0
        self.t = 0

    def displacement(self, w, g):
        self.t += 1
        b1, b2 = self.betas
        self.m = b1 * self.m + (1 - b1) * g
        self.v = b2 * self.v + (1 - b2) * g * g
        m_hat, v_hat = self.m / (1 - b1**self.t), self.v / (1 - b2**self.t)
        return -self.lr * self.weight_decay * w - self.lr * m_hat / (v_hat.sqrt() + self.eps)


class Functional:
    """The model as a function of one parameter vector."""

    def __init__(self, model):
        self.model = model
        self.shapes = [p.shape for p in model.parameters()]
        self.names = [name for name, _ in model.named_parameters()]

    def gradient(self, w, loss):
        w = w.clone().requires_grad_()
        pieces = w.split([s.numel() for s in self.shapes])
        named = {n: piece.view(s) for n, piece, s in zip(self.names, pieces, self.shapes, strict=True)}
        return torch.autograd.grad(loss(lambda x: torch.func.functional_call(self.model, named, x)), w)[0]


def by_hand(model, vector, make_batch, base, rho=None):
    f, w = Functional(model), vector(model)
    p = w.numel()
    mask = torch.zeros(p, dtype=w.dtype)
    for t in range(STEPS):
        x, y = make_batch(t)
        if t >= START and (t - START) % INTERVAL == 0:
            noise = torch.Generator().manual_seed(t)
            h = f.gradient(w, lambda net, x=x, n=noise: sampled_nll(net(x), generator=n)).abs()
            mask.zero_()
            mask[h.argsort()[: math.floor(GAMMA * p)]] = 1

        def gradient(w, x=x, y=y):
            return f.gradient(w, lambda net: nn.functional.cross_entropy(net(x), y))

        g = gradient(w)
        if rho is not None:
            g = gradient(w + rho * g / g.norm())
        moved = base.displacement(w, g)
        w = w + moved + (KAPPA * mask * moved if t >= START else 0)
    return w


CASES = {
    "sgd": (SGDByHand, lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9, weight_decay=0.05), None),
    "adamw": (
        AdamWByHand,
        lambda ps: torch.optim.AdamW(ps, lr=0.01, betas=(0.9, 0.95), weight_decay=0.1),
        None,
    ),
    "sam of sgd": (
        SGDByHand,
        lambda ps: SAM(torch.optim.SGD(ps, lr=0.1, momentum=0.9, weight_decay=0.05), rho=0.05),
        0.05,
    ),
    "sam of adamw": (
        AdamWByHand,
        lambda ps: SAM(torch.optim.AdamW(ps, lr=0.01, betas=(0.9, 0.95), weight_decay=0.1), rho=0.1),
        0.1,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_trains_as_the_paper_says(name, make_model, make_batch, vector, train):
    hand, build, rho = CASES[name]
    model = make_model()
    expected = by_hand(make_model(), vector, make_batch, hand(), rho)
    optimizer = IRE(build(model.parameters()), kappa=KAPPA, gamma=GAMMA, interval=INTERVAL, start=START)
    train(model, optimizer, 0, STEPS)
    torch.testing.assert_close(vector(model), expected, rtol=1e-10, atol=1e-12)


def test_the_gamma_of_one_boosts_everything_without_curvature(make_model, make_batch, vector, train):
    model, plain = make_model(), make_model()
    optimizer = IRE(torch.optim.SGD(model.parameters(), lr=0.05), kappa=1, gamma=1)
    train(model, optimizer, 0, 5)
    train(plain, torch.optim.SGD(plain.parameters(), lr=0.1), 0, 5)
    torch.testing.assert_close(vector(model), vector(plain))
    assert optimizer.flat_fraction == 1


def test_adaptive_sam_scales_the_ascent_by_the_weights(make_model, make_batch, vector, train):
    model, rho, lr = make_model(), 0.5, 0.1
    f, w = Functional(make_model()), vector(model)
    x, y = make_batch(0)

    def gradient(w):
        return f.gradient(w, lambda net: nn.functional.cross_entropy(net(x), y))

    g = gradient(w)
    expected = w - lr * gradient(w + rho * w.square() * g / (w.abs() * g).norm())
    optimizer = SAM(torch.optim.SGD(model.parameters(), lr=lr), rho=rho, adaptive=True)
    train(model, optimizer, 0, 1)
    torch.testing.assert_close(vector(model), expected)
