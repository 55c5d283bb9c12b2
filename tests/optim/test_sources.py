"""Where the curvature comes from: each source ranks what it says, when it says."""

import math

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ire import IRE, SAM, sampled_nll
from ire.optim.curvature.average import average_in
from ire.optim.curvature.sources import Refresh, Source, source_named
from ire.optim.mask.refresh import fractions
from ire.optim.tensors.shards import Alone
from ire.optim.wrapping.memory import Memory


def smallest(scores, gamma):
    """The exact mask over a list of scores, as one vector."""
    values = torch.cat([s.reshape(-1).abs() for s in scores])
    mask = torch.zeros(values.numel(), dtype=torch.uint8)
    mask[values.argsort(stable=True)[: math.floor(gamma * values.numel())]] = 1
    return mask


def mask_of(optimizer):
    masks = optimizer._memory.masks
    return torch.cat([masks[p].reshape(-1) for p in optimizer.parameters()])


def wrap(model, curvature, base=torch.optim.AdamW, **settings):
    settings = {"kappa": 1, "gamma": 0.6, "interval": 3} | settings
    return IRE(base(model.parameters(), lr=0.01), curvature=curvature, **settings)


def train_step(model, optimizer, batch):
    inputs, labels = batch
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(inputs), labels).backward()
    optimizer.step()


def test_empirical_ranks_the_training_gradient(make_model, make_batch):
    model = make_model()
    optimizer = wrap(model, "empirical")
    expected = None
    for step in range(5):
        assert not optimizer.curvature_due
        train_step(model, optimizer, make_batch(step))
        if step % 3 == 0:
            expected = smallest([p.grad for p in model.parameters()], 0.6)
        assert torch.equal(mask_of(optimizer), expected)


@pytest.mark.parametrize("start", [0, 2])
def test_second_moment_ranks_what_the_base_knew_before_the_step(start, make_model, make_batch):
    model = make_model()
    optimizer = wrap(model, "second_moment", start=start)
    for step in range(6):
        moments = [optimizer.state[p]["exp_avg_sq"].clone() for p in model.parameters() if optimizer.state]
        train_step(model, optimizer, make_batch(step))
        assert optimizer.kappa_in_force == (step >= max(start, 1))
        if step == max(start, 1):
            assert torch.equal(mask_of(optimizer), smallest(moments, 0.6))
    assert optimizer.skipped_refreshes == 0


@pytest.mark.parametrize("base", [torch.optim.RMSprop, torch.optim.Adagrad, torch.optim.NAdam])
def test_second_moment_knows_the_kin_of_adam(base, make_model, make_batch):
    model = make_model()
    optimizer = wrap(model, "second_moment", base)
    for step in range(2):
        train_step(model, optimizer, make_batch(step))
    assert optimizer.flat_fraction == pytest.approx(0.6, abs=0.02)


class Forgetful(torch.optim.AdamW):
    """Adam-like at first sight."""

    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            self.state[p]["direction"] = p.grad.clone()


def test_second_moment_without_one_is_refused(make_model, make_batch):
    with pytest.raises(ValueError, match="got SGD; use curvature='empirical'"):
        wrap(make_model(), "second_moment", torch.optim.SGD)
    model = make_model()
    optimizer = wrap(model, "second_moment", Forgetful)
    train_step(model, optimizer, make_batch(0))
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(ValueError, match="got Forgetful"):
        train_step(model, optimizer, make_batch(1))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert optimizer.steps == 1


class Hidden(torch.optim.AdamW):
    """Keeps its state somewhere else."""

    def step(self, closure=None):
        super().step(closure)
        self.elsewhere, self.state = self.state, {}


def test_second_moment_says_so_if_no_state_ever_comes(make_model, make_batch):
    model = make_model()
    optimizer = wrap(model, "second_moment", Hidden)
    train_step(model, optimizer, make_batch(0))
    with pytest.raises(ValueError, match="found no state of 4 of 4 parameters in Hidden after 1 steps"):
        train_step(model, optimizer, make_batch(1))
    assert optimizer.steps == 1


class HalfHidden(torch.optim.AdamW):
    """Keeps the state of some parameters only, as a worker's part of a sharded optimizer."""

    def step(self, closure=None):
        super().step(closure)
        del self.state[self.param_groups[0]["params"][0]]


def test_second_moment_says_so_if_the_state_of_one_parameter_never_comes(make_model, make_batch):
    model = make_model()
    optimizer = wrap(model, "second_moment", HalfHidden)
    with pytest.raises(ValueError, match="found no state of 1 of 4 parameters in HalfHidden after 10 steps"):
        for step in range(20):
            train_step(model, optimizer, make_batch(step))


class Factored(torch.optim.AdamW):
    """One average a row, as Adafactor keeps them."""

    def step(self, closure=None):
        super().step(closure)
        for p, state in self.state.items():
            state["exp_avg_sq"] = torch.ones(len(p))


class Compressed(torch.Tensor):
    """Stands for torchao's tensors of 8 bits."""


class Adam8Bit(torch.optim.AdamW):
    def step(self, closure=None):
        super().step(closure)
        for state in self.state.values():
            state["exp_avg_sq"] = state["exp_avg_sq"].as_subclass(Compressed)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (Factored, r"squared gradient of each coordinate, .* got Factored"),
        (Adam8Bit, r"compressed moments \(Compressed\) of Adam8Bit; use curvature="),
    ],
)
def test_second_moments_of_rows_or_of_few_bits_are_refused(base, message, make_model, make_batch):
    model = make_model()
    optimizer = wrap(model, "second_moment", base)
    train_step(model, optimizer, make_batch(0))
    with pytest.raises(ValueError, match=message):
        train_step(model, optimizer, make_batch(1))


@pytest.mark.parametrize("name", ["Lookahead", "ScheduleFreeWrapper", "PCGrad"])
def test_second_moment_is_found_in_the_optimizer_that_a_wrapper_steps(name, make_model, make_batch):
    library = pytest.importorskip(
        "pytorch_optimizer", reason="an optional extra: pip install ire[optimizers]"
    )
    model = make_model()
    base = getattr(library, name)(torch.optim.AdamW(model.parameters(), lr=0.01))
    getattr(base, "train", lambda: None)()
    optimizer = wrap(model, "second_moment", lambda *_, **__: base)
    for step in range(3):
        train_step(model, optimizer, make_batch(step))
    assert optimizer.flat_fraction == pytest.approx(0.6, abs=0.02) and optimizer.kappa_in_force > 0


def test_second_moment_waits_for_a_parameter_that_joins_late(make_model, make_batch):
    model = make_model()
    model[2].requires_grad_(False)
    optimizer = wrap(model, "second_moment", start=1, interval=2)
    for step in range(6):
        if step == 2:
            model[2].requires_grad_(True)
        train_step(model, optimizer, make_batch(step))
    assert len(optimizer.flat_fractions()) == 4


@pytest.mark.parametrize("ranked_by", ["model", "tensor"])
def test_second_moment_ranks_parameters_that_rest_in_every_refresh(ranked_by, make_model, make_batch):
    """Two halves that are trained in turn: every other step is a refresh, always of the same half."""
    model = make_model()
    settings = {"named_parameters": model.named_parameters(), "ranked_by": ranked_by, "interval": 2}
    optimizer = wrap(model, "second_moment", **settings)
    halves = list(model.parameters())[:2], list(model.parameters())[2:]
    for step in range(6):
        optimizer.zero_grad()
        inputs, labels = make_batch(step)
        nn.functional.cross_entropy(model(inputs), labels).backward()
        for p in halves[step % 2]:
            p.grad = None
        optimizer.step()
    assert set(optimizer._memory.masks) == set(model.parameters())


@pytest.mark.parametrize("base", [torch.optim.AdamW, torch.optim.RMSprop, torch.optim.Adagrad])
def test_second_moment_of_a_layer_that_joins_late_is_on_the_scale_of_the_others(base):
    """All gradients are of one size, so neither is flatter, however many each has gathered."""
    g = torch.Generator().manual_seed(0)
    early, late = (nn.Parameter(torch.zeros(400)) for _ in range(2))
    optimizer = IRE(base([early, late], lr=0.01), kappa=1, gamma=0.5, curvature="second_moment", start=60)
    for step in range(61):
        for p in (early, late)[: 1 + (step >= 30)]:
            p.grad = torch.randn(400, generator=g)
        optimizer.step()
    assert 0.3 < optimizer.flat_fractions()[late] < 0.7


def test_reuse_gives_the_mask_of_an_extra_pass_and_leaves_the_gradients(make_model, make_batch):
    model, twin = make_model(), make_model()
    reuse, extra = wrap(model, "reuse"), wrap(twin, "sampled")
    inputs, labels = make_batch(0)

    sampled_nll(twin(inputs), generator=torch.Generator().manual_seed(1)).backward()
    extra.update_mask()

    logits = model(inputs)
    assert reuse.curvature_due
    reuse.update_mask(sampled_nll(logits, generator=torch.Generator().manual_seed(1)))
    assert not reuse.curvature_due and all(p.grad is None for p in model.parameters())
    nn.functional.cross_entropy(logits, labels).backward()
    nn.functional.cross_entropy(twin(inputs), labels).backward()
    assert torch.equal(mask_of(reuse), mask_of(extra))
    assert all(
        torch.equal(p.grad, q.grad) for p, q in zip(model.parameters(), twin.parameters(), strict=True)
    )


def test_reuse_leaves_out_parameters_that_the_loss_does_not_touch(make_model, make_batch):
    model = make_model()
    spare = nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = IRE(torch.optim.SGD([*model.parameters(), spare], lr=0.1), kappa=1, gamma=0.5)
    optimizer.update_mask(sampled_nll(model(make_batch(0)[0])))
    assert spare not in optimizer.flat_fractions() and len(optimizer.flat_fractions()) == 4


@pytest.mark.parametrize("curvature", ["sampled", "empirical", "sharpest"])
def test_the_average_is_of_squared_gradients(curvature, make_model, make_batch):
    model, beta = make_model(), 0.7
    optimizer = wrap(model, curvature, ema=beta, interval=1)
    average = None
    for step in range(4):
        inputs, labels = make_batch(step)
        if optimizer.curvature_due:
            sampled_nll(model(inputs), generator=torch.Generator().manual_seed(step)).backward()
            squares = [p.grad.square() for p in model.parameters()]
            optimizer.update_mask()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        if curvature == "empirical":
            squares = [p.grad.square() for p in model.parameters()]
        average = (
            squares
            if average is None
            else [beta * a + (1 - beta) * s for a, s in zip(average, squares, strict=True)]
        )
        optimizer.step()
        optimizer.zero_grad()
        expected = smallest(average, 0.6)
        assert torch.equal(mask_of(optimizer), 1 - expected if curvature == "sharpest" else expected)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
def test_the_average_is_never_poisoned(bad, make_model):
    model = make_model(dtype=torch.float32)
    optimizer = wrap(model, "sampled", ema=0.5, interval=1)

    def curvature(value=1.0):
        for i, p in enumerate(model.parameters()):
            p.grad = torch.full_like(p, 1.0 + i)
            p.grad.view(-1)[0] = value
        optimizer.update_mask()

    curvature()
    before = [optimizer._memory.averages[p].clone() for p in model.parameters()]
    curvature(bad)
    assert optimizer.skipped_refreshes == 1
    after = [optimizer._memory.averages[p] for p in model.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_an_average_that_is_kept_again_starts_anew(make_model):
    model = make_model()
    optimizer = wrap(model, "sampled", ema=0.5, interval=1)
    for ema, gradient in ((0.5, 5.0), (0.0, 1.0), (0.5, 2.0)):
        optimizer.ema = ema
        for p in model.parameters():
            p.grad = torch.full_like(p, gradient)
        optimizer.update_mask()
    assert all((average == 4).all() for average in optimizer._memory.averages.values())
    assert len(optimizer._memory.averages) == 4


def test_an_average_continues_when_the_model_changes_its_precision(make_model):
    model = make_model(dtype=torch.float32)
    optimizer = wrap(model, "sampled", torch.optim.SGD, ema=0.5, interval=1)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        model.to(dtype)
        for p in model.parameters():
            p.grad = torch.full_like(p, 2.0)
        optimizer.update_mask()
        for p in model.parameters():
            average = optimizer._memory.averages[p]
            assert average.dtype == torch.promote_types(dtype, torch.float32) and (average == 4).all()


def test_a_source_of_one_s_own(make_model, make_batch):
    def magnitude(parameters, refresh):
        return [p.detach() for p in parameters]

    model = make_model()
    optimizer = wrap(model, Source(scores=magnitude, gradients=False), interval=1)
    expected = smallest([p.detach() for p in model.parameters()], 0.6)
    train_step(model, optimizer, make_batch(0))
    assert torch.equal(mask_of(optimizer), expected)


def test_a_source_with_wrong_shapes_is_refused(make_model, make_batch):
    model = make_model()
    optimizer = wrap(model, Source(scores=lambda parameters, refresh: [torch.ones(2) for _ in parameters]))
    with pytest.raises(ValueError, match="a score must have the shape of its parameter"):
        train_step(model, optimizer, make_batch(0))


def test_kappa_follows_the_lr(make_model, make_batch):
    model = make_model()
    optimizer = wrap(model, "random", lr_max=0.02, kappa=4)
    seen = []
    for lr in (0.0, 0.01, 0.02, 0.005):
        optimizer.param_groups[0]["lr"] = lr
        train_step(model, optimizer, make_batch(0))
        seen.append(optimizer.kappa_in_force)
    assert seen == pytest.approx([0, 2, 4, 1])


def test_empirical_works_inside_sam(make_model, make_batch):
    model = make_model()
    optimizer = IRE(
        SAM(torch.optim.SGD(model.parameters(), lr=0.1)), kappa=1, gamma=0.5, curvature="empirical"
    )
    inputs, labels = make_batch(0)

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert torch.equal(mask_of(optimizer), smallest([p.grad for p in model.parameters()], 0.5))


class Reads(TorchDispatchMode):
    """Counts the numbers that the host reads from tensors, each of which would wait for a GPU."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += "_local_scalar_dense" in str(function)
        return function(*args, **(kwargs or {}))


def test_an_average_and_the_shares_of_all_masks_are_read_once_not_once_a_tensor():
    ps = [torch.nn.Parameter(torch.randn(7)) for _ in range(9)]
    averages = {}
    with Reads() as reads:
        assert average_in(averages, ps, [torch.randn(7) for _ in ps], 0.9, True, Alone()) is not None
    assert reads.count == 2 and len(averages) == 9  # the other is the host's own sum over the workers
    with Reads() as reads:
        shares = fractions(Memory(masks={p: torch.ones(7, dtype=torch.uint8) for p in ps}))
    assert reads.count <= 1 and shares == dict.fromkeys(ps, 1.0)
    assert fractions(Memory()) == {}


def test_the_second_moments_of_all_parameters_are_found_with_one_reading_of_their_counts():
    """A fused AdamW keeps its counts on the GPU."""
    ps = [torch.nn.Parameter(torch.randn(7)) for _ in range(9)]
    base = torch.optim.AdamW(ps)
    occasion = Refresh(base=base, seed=0, number=0)
    assert source_named("second_moment").scores(ps, occasion) is None
    for p in ps:
        p.grad = torch.randn(7)
    base.step()
    with Reads() as reads:
        found = source_named("second_moment").scores(ps, occasion)
    assert reads.count == 0  # a list is one reading, and on the CPU none
    assert all(a is base.state[p]["exp_avg_sq"] for a, p in zip(found, ps, strict=True))
