"""SAM's manners: what it restores, what it leaves alone, what it returns."""

import pytest
import torch
from torch import nn

from ire import IRE, SAM, frozen_batch_norm


def batch_norm_model(norm=nn.BatchNorm2d):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), norm(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))


def batch(seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(5, 2, 6, 6, generator=g), torch.randint(0, 3, (5,), generator=g)


def closure_of(model, optimizer, seen=None):
    x, y = batch()

    def closure():
        optimizer.zero_grad()
        if seen is not None:
            seen.append([p.detach().clone() for p in model.parameters()])
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        return loss

    return closure


def buffers(model):
    return [b.clone() for b in model.buffers()]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_restores_the_weights_exactly_and_returns_the_loss_at_w():
    model = batch_norm_model()
    start = [p.detach().clone() for p in model.parameters()]
    optimizer = SAM(torch.optim.SGD(model.parameters(), lr=0.0), rho=0.3)
    seen = []
    loss = optimizer.step(closure_of(model, optimizer, seen))
    assert same(model.parameters(), start)
    assert same(seen[0], start) and not same(seen[1], start)
    distance = torch.cat([(a - b).reshape(-1) for a, b in zip(*seen, strict=True)]).norm()
    assert distance.item() == pytest.approx(0.3, rel=1e-5)
    with frozen_batch_norm(model):
        assert torch.equal(loss, nn.functional.cross_entropy(model(batch()[0]), batch()[1]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("gradient", [0.0, 1e-7, 1.0, 1e3])
def test_half_precision_climbs_as_single_does(dtype, adaptive, gradient):
    climbed = []
    for given in (dtype, torch.float32):
        p = nn.Parameter(torch.linspace(0.5, 1, 300).to(dtype).to(given))
        optimizer = SAM(torch.optim.SGD([p], lr=0.0), rho=0.5, adaptive=adaptive)
        seen = []

        def closure(p=p, seen=seen):
            seen.append(p.detach().clone())
            p.grad = torch.full_like(p, gradient, dtype=dtype).to(p.dtype)
            return torch.zeros(())

        optimizer.step(closure)
        climbed.append(seen[1])
    assert torch.equal(climbed[0], climbed[1].to(dtype))


@pytest.mark.parametrize("adaptive", [False, True])
def test_complex_weights_climb_as_their_real_pairs_do(adaptive):
    pairs = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    seen = []
    for start, real in ((pairs, lambda p: p), (torch.view_as_complex(pairs), torch.view_as_real)):
        p = nn.Parameter(start.clone())
        optimizer = SAM(torch.optim.SGD([p], lr=0.1), rho=1.0, adaptive=adaptive)

        def closure(p=p, real=real):
            seen.append(real(p.detach().clone()))
            loss = (real(p) ** 3).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        seen.append(real(p.detach()))
    torch.testing.assert_close(seen[:3], seen[3:])


def test_rho_of_zero_is_the_base():
    models = batch_norm_model(), batch_norm_model()
    plain = torch.optim.SGD(models[0].parameters(), lr=0.1)
    plain.step(closure_of(models[0], plain))
    sam = SAM(torch.optim.SGD(models[1].parameters(), lr=0.1), rho=0)
    sam.step(closure_of(models[1], sam))
    assert same(models[0].parameters(), models[1].parameters())


def test_restores_the_weights_when_the_second_pass_fails():
    model = batch_norm_model()
    start = [p.detach().clone() for p in model.parameters()]
    optimizer = SAM(torch.optim.SGD(model.parameters(), lr=0.1))
    calls = []

    def closure():
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("out of memory")
        return closure_of(model, optimizer)()

    with pytest.raises(RuntimeError, match="out of memory"):
        optimizer.step(closure)
    assert same(model.parameters(), start)


@pytest.mark.parametrize("around", [lambda sam: sam, lambda sam: IRE(sam, kappa=1, gamma=1)])
def test_updates_batch_norm_once_a_step(around):
    model, once = batch_norm_model(), batch_norm_model()
    optimizer = around(SAM(torch.optim.SGD(model.parameters(), lr=0.1), model=model))
    optimizer.step(closure_of(model, optimizer))
    once(batch()[0])
    assert same(buffers(model), buffers(once))


NORMS = [nn.BatchNorm2d, lambda channels: nn.InstanceNorm2d(channels, track_running_stats=True)]


@pytest.mark.parametrize("norm", NORMS)
def test_frozen_batch_norm_uses_batch_statistics_and_keeps_the_running_ones(norm):
    model = batch_norm_model(norm)
    names = list(model.state_dict())
    model(batch(1)[0])
    before, expected = buffers(model), model(batch()[0])
    for buffer, value in zip(model.buffers(), before, strict=True):
        buffer.copy_(value)
    with frozen_batch_norm(model):
        assert torch.equal(model(batch()[0]), expected)
    assert same(buffers(model), before) and list(model.state_dict()) == names
    model(batch()[0])
    assert not same(buffers(model), before)


@pytest.mark.parametrize("norm", NORMS)
def test_frozen_batch_norm_survives_an_exception_and_respects_eval_mode(norm):
    model = batch_norm_model(norm)
    before = buffers(model)
    with pytest.raises(KeyError), frozen_batch_norm(model):
        raise KeyError
    assert model[1].track_running_stats and same(buffers(model), before)
    model.eval()
    expected = model(batch()[0])
    with frozen_batch_norm(model):
        assert torch.equal(model(batch()[0]), expected)


@pytest.mark.parametrize(
    "rho, message",
    [
        (-0.1, "finite and >= 0, got -0.1; 0.05 is the usual"),
        (float("nan"), "finite and >= 0, got nan"),
        (float("inf"), "finite and >= 0, got inf"),
        ("0.05", "a number, got '0.05'"),
        (None, "a number, got None"),
    ],
)
def test_a_bad_rho_is_named(rho, message):
    with pytest.raises(ValueError, match=f"rho must be {message}"):
        SAM(torch.optim.SGD(batch_norm_model().parameters(), lr=0.1), rho=rho)


@pytest.mark.parametrize(
    "setting, message",
    [
        ({"adaptive": "no"}, "adaptive must be True or False, got 'no'"),
        ({"adaptive": None}, "adaptive must be True or False, got None"),
        ({"model": "resnet"}, "model must be a torch.nn.Module or None, got str"),
    ],
)
def test_a_bad_setting_is_named(setting, message):
    with pytest.raises(ValueError, match=message):
        SAM(torch.optim.SGD(batch_norm_model().parameters(), lr=0.1), **setting)


def test_a_missing_closure_is_named():
    model = batch_norm_model()
    with pytest.raises(ValueError, match=r"call step\(closure\)"):
        SAM(torch.optim.SGD(model.parameters(), lr=0.1)).step()


MAXIMIZING = {
    "SGD": lambda ps, maximize: torch.optim.SGD(ps, lr=0.01, maximize=maximize),
    "AdamW by foreach": lambda ps, maximize: torch.optim.AdamW(ps, maximize=maximize, foreach=True),
    "several": lambda ps, maximize: [torch.optim.SGD(ps, lr=0.01, maximize=maximize)],
    # with the option as an attribute
    "Lion": lambda ps, maximize: extra().Lion(ps, lr=0.01, maximize=maximize),
    "SGDW": lambda ps, maximize: extra().load_optimizer("sgdw")(ps, lr=0.01, maximize=maximize),
    "Lookahead": lambda ps, maximize: extra().Lookahead(extra().AdaBelief(ps, maximize=maximize)),
    "ScheduleFreeWrapper": lambda ps, maximize: extra().ScheduleFreeWrapper(
        torch.optim.SGD(ps, lr=0.01), maximize=maximize
    ),
    "a wrapper that maximises around one that maximises": lambda ps, maximize: extra().ScheduleFreeWrapper(
        torch.optim.SGD(ps, lr=0.01, maximize=True), maximize=not maximize
    ),
}


def extra():
    return pytest.importorskip("pytorch_optimizer", reason="an optional extra: pip install ire[optimizers]")


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("name", MAXIMIZING)
def test_maximising_minus_the_loss_is_minimising_it(name, adaptive):
    ends = []
    for sign in (1, -1):
        p = nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))
        base = MAXIMIZING[name]([p], sign < 0)
        getattr(base, "train", lambda: None)()
        optimizer = SAM(base, rho=0.5, adaptive=adaptive)

        def closure(p=p, sign=sign, optimizer=optimizer):
            optimizer.zero_grad()
            loss = sign * (p**4).sum()
            loss.backward()
            return loss

        for _ in range(3):
            optimizer.step(closure)
        ends.append(p.detach())
    assert torch.equal(*ends) and not torch.equal(ends[0], torch.tensor([1.0, 2.0], dtype=torch.float64))


def test_a_group_that_maximises_climbs_down_beside_one_that_climbs_up():
    p, q = (nn.Parameter(torch.tensor([3.0], dtype=torch.float64)) for _ in range(2))
    seen = []
    optimizer = SAM(torch.optim.SGD([{"params": [p]}, {"params": [q], "maximize": True}], lr=0.1), rho=2**0.5)

    def closure():
        seen.append((p.item(), q.item()))
        optimizer.zero_grad()
        loss = (p + q).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert seen[1] == pytest.approx((4.0, 2.0))
    assert (p.item(), q.item()) == pytest.approx((2.9, 3.1))


@pytest.mark.parametrize("clear_after", [False, True])
def test_a_closure_that_forgets_to_clear_the_gradients_steps_with_those_at_the_top(clear_after):
    """By far the commonest mistake with SAM: it would step with the sum of both gradients."""
    p = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    optimizer = SAM(torch.optim.SGD([p], lr=0.1), rho=0.5)

    def closure():
        loss = (p**2).sum() / 2
        loss.backward()
        return loss

    expected = 2.0
    for _ in range(3):
        optimizer.step(closure)
        expected -= 0.1 * (expected + 0.5)
        if clear_after:
            optimizer.zero_grad()
    assert p.item() == pytest.approx(expected)
