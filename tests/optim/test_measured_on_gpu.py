"""The measured boost in two launches against its definition, in Triton's interpreter where there is no GPU."""

import pytest
import torch

from ire import IRE
from ire.optim.steps.boost import Boost
from ire.optim.steps.measured_on_gpu import before_on_gpu, fits

pytest.importorskip("triton")
CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    if not CUDA:
        monkeypatch.setenv("TRITON_INTERPRET", "1")


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
@torch.no_grad()
def test_each_coordinate_goes_on_by_kappa_times_what_it_has_moved(kind):
    shapes = [(70, 65), (), (0, 3), (5,), (4096,)]
    ps = [normal(*shape, seed=n).to(kind) for n, shape in enumerate(shapes)]
    masks = [(normal(*shape, seed=9) < 0).to(torch.uint8) for shape in shapes]
    ps.append(normal(4, 6, 3, 3).to(kind).contiguous(memory_format=torch.channels_last))
    masks.append(None)
    boosts = [
        Boost(p, mask, 3.0 - n % 2, 0.1 * (n % 3)) for n, (p, mask) in enumerate(zip(ps, masks, strict=True))
    ]
    assert all(map(fits, boosts))
    before = [p.clone() for p in ps]
    lots = before_on_gpu(boosts)
    moves = [0.1 * normal(*p.shape, seed=20).to(kind) for p in ps]
    for p, move in zip(ps, moves, strict=True):
        p.add_(move)
    after = [p.clone() for p in ps]
    for lot in lots:
        lot.go_on()
    for p, was, new, mask, boost in zip(ps, before, after, masks, boosts, strict=True):
        moved = new.double() - was.double() + boost.plain_decay * was.double()
        expected = new.double() + boost.kappa * moved * (1 if mask is None else mask)
        torch.testing.assert_close(
            p, expected.to(kind), rtol=2**-7 if kind != torch.float32 else 1e-6, atol=1e-2
        )


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@torch.no_grad()
def test_a_base_that_gives_its_parameters_other_memory_is_followed(order):
    """`p.data = p.data - lr * p.grad`, as in optimizers that people write themselves."""
    ps = [torch.nn.Parameter(normal(2, 6, 3, 5, seed=n)) for n in range(3)]
    before = [p.detach().clone() for p in ps]
    (lot,) = before_on_gpu([Boost(p, None, 3.0) for p in ps])
    for p in ps[:2]:
        p.data = (p.data - 1).contiguous(memory_format=order)
    lot.go_on()
    for p, was, moved in zip(ps, before, (4.0, 4.0, 0.0), strict=True):
        torch.testing.assert_close(p.detach(), was - moved)


def test_what_has_gaps_or_another_order_or_double_precision_does_not_fit():
    p = normal(10, 8)
    assert not fits(Boost(p[:, ::2], None, 1.0))
    assert not fits(Boost(p, torch.ones(8, 10, dtype=torch.uint8, device=DEVICE).t(), 1.0))
    assert not fits(Boost(p.double(), None, 1.0))
    assert fits(Boost(p.t(), torch.ones(8, 10, dtype=torch.uint8, device=DEVICE).t().contiguous().t(), 1.0))


@pytest.mark.skipif(not CUDA, reason="needs a GPU")
def test_on_a_gpu_any_optimizer_is_boosted_as_on_a_cpu():
    ends = []
    for device in ("cuda", "cpu"):
        ps = [torch.nn.Parameter(normal(30, 11, seed=n).to(device)) for n in range(3)]
        optimizer = IRE(torch.optim.RMSprop(ps, lr=0.01), kappa=3, gamma=1.0, curvature="random")
        for step in range(3):
            for n, p in enumerate(ps):
                p.grad = normal(30, 11, seed=10 * step + n).to(device)
            optimizer.step()
        assert optimizer.path == "measured"
        ends.append([p.detach().cpu() for p in ps])
    torch.testing.assert_close(*ends)
