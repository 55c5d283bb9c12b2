"""Several optimizers on one model: wrapped together under one mask, or beside an IRE that leaves them alone."""

import copy
import functools
import io
from unittest.mock import Mock

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from ire import IRE, SAM, fisher_trace, sampled_nll
from ire.optim.wrapping.boostable import decoupled_decay
from ire.optim.wrapping.several_bases import SeveralBases


def split(model):
    """Muon for the matrices, AdamW for the rest."""
    matrices = [p for p in model.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() != 2]
    return torch.optim.Muon(matrices, lr=0.02), torch.optim.AdamW(others, lr=0.01)


def together(model, **settings):
    return IRE(list(split(model)), **{"kappa": 2, "gamma": 0.6, "interval": 3} | settings)


def test_without_kappa_each_takes_its_own_step_bitwise(make_model, train, vector):
    model, plain = make_model(), make_model()
    optimizer, bases = together(model, kappa=0), split(plain)

    class Both:
        def zero_grad(self):
            for base in bases:
                base.zero_grad()

        def step(self, closure):
            loss = closure()
            for base in bases:
                base.step()
            return loss

    assert train(model, optimizer, 0, 8) == train(plain, Both(), 0, 8)
    assert torch.equal(vector(model), vector(plain))


def test_the_mask_is_one_and_every_base_is_boosted(make_model, train, vector):
    model = make_model()
    optimizer = together(model)
    train(model, optimizer, 0, 1)
    twin, copied = copy.deepcopy((model, optimizer))
    start = vector(model)
    train(model, optimizer, 1, 2)
    train(twin, copied.base, 1, 2)
    mask = torch.cat([optimizer._memory.masks[p].reshape(-1) for p in model.parameters()])
    assert int(mask.sum()) == int(0.6 * mask.numel()) and optimizer.path == "measured+native"
    torch.testing.assert_close(vector(model) - start, (vector(twin) - start) * (1 + 2 * mask))


def test_weight_decay_of_each_is_left_unboosted_when_asked(make_model, vector, monkeypatch):
    model = make_model()
    optimizer = together(model, gamma=1, boost_weight_decay=False)
    for group in optimizer.param_groups:
        group |= {"lr": 0.01, "weight_decay": 0.5}
    start = vector(model)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    decay = Mock(wraps=decoupled_decay)
    monkeypatch.setattr("ire.optim.ire.decoupled_decay", decay)
    optimizer.step()
    torch.testing.assert_close(vector(model), start * (1 - 0.005))
    assert decay.call_count == len(optimizer.param_groups), "not for each parameter"


def test_resumes_in_lock_step(make_model, train, vector):
    straight = make_model()
    optimizer = together(straight)
    train(straight, optimizer, 0, 5)
    file = io.BytesIO()
    torch.save([straight.state_dict(), optimizer.state_dict()], file)
    losses = train(straight, optimizer, 5, 12)
    second = make_model(seed=7)
    resumed = together(second)
    file.seek(0)
    for thing, state in zip((second, resumed), torch.load(file, weights_only=True), strict=True):
        thing.load_state_dict(state)
    assert train(second, resumed, 5, 12) == losses and torch.equal(vector(second), vector(straight))


@pytest.mark.parametrize("name", ["Lookahead", "ScheduleFreeWrapper", "TRAC"])
def test_a_base_that_saves_its_state_in_a_form_of_its_own_resumes(name, make_model, train, vector):
    library = pytest.importorskip(
        "pytorch_optimizer", reason="an optional extra: pip install ire[optimizers]"
    )

    def built():
        model = make_model()
        inner = torch.optim.SGD(model[0].parameters(), lr=0.1, momentum=0.9)
        bases = [getattr(library, name)(inner), torch.optim.AdamW(model[2].parameters(), lr=0.01)]
        getattr(bases[0], "train", lambda: None)()
        kappa = 0 if name == "TRAC" else 2  # which IRE refuses to boost
        return model, IRE(bases, kappa=kappa, gamma=0.6, interval=3)

    (model, optimizer), (second, resumed) = built(), built()
    train(model, optimizer, 0, 7)
    file = io.BytesIO()
    torch.save([model.state_dict(), optimizer.state_dict()], file)
    train(second, resumed, 0, 2)
    file.seek(0)
    for thing, state in zip((second, resumed), torch.load(file, weights_only=True), strict=True):
        thing.load_state_dict(state)
    assert train(second, resumed, 7, 14) == train(model, optimizer, 7, 14)
    assert torch.equal(vector(second), vector(model))


def test_schedules_and_settings_of_groups_reach_all(make_model, train):
    model = make_model()
    optimizer = together(model)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    optimizer.param_groups[1]["kappa"] = 0
    train(model, optimizer, 0, 2, schedule)
    assert [base.param_groups[0]["lr"] for base in optimizer.base.bases] == [0.005, 0.0025]
    assert all(p.dim() == 2 for p in optimizer.flat_fractions())


def test_an_option_that_one_of_the_bases_has_stays_its_own():
    """`gamma` is an option of MARS, and a setting of IRE in a group of SGD."""
    library = pytest.importorskip(
        "pytorch_optimizer", reason="an optional extra: pip install ire[optimizers]"
    )
    p, q = (nn.Parameter(torch.ones(4)) for _ in range(2))
    sgd = torch.optim.SGD([{"params": [q], "gamma": 0.25}], lr=0.1)
    optimizer = IRE([library.MARS([p]), sgd], kappa=1, gamma=0.5, curvature="random")
    for p_ in (p, q):
        p_.grad = torch.ones(4)
    optimizer.step()
    assert optimizer.flat_fractions() == {p: 0.5, q: 0.25}


def test_sam_around_several(make_model, train, vector):
    moved = []
    for wrap in (SAM, lambda bases: IRE(SAM(bases), kappa=1, gamma=1)):
        model = make_model()
        start = vector(model)
        train(model, wrap(list(split(model))), 0, 1)
        moved.append(vector(model) - start)
    assert moved[0].abs().min() > 0
    torch.testing.assert_close(moved[1], 2 * moved[0])


@pytest.mark.parametrize(
    "bases, error, message",
    [
        (lambda p: [], ValueError, "got an empty list"),
        (lambda p: [torch.optim.SGD([p], lr=1), "adamw"], TypeError, "got str in it"),
        (lambda p: [torch.optim.SGD([p], lr=1), torch.optim.Adam([p])], ValueError, "belongs to two"),
        (lambda p: [torch.optim.LBFGS([p])], ValueError, "evaluates its closure"),
        (lambda p: [IRE(torch.optim.SGD([p], lr=1), kappa=1, gamma=1)], ValueError, "IRE around IRE"),
    ],
)
def test_what_makes_no_sense_is_refused(bases, error, message):
    p = nn.Parameter(torch.ones(3))
    with pytest.raises(error, match=message):
        IRE(bases(p), kappa=1, gamma=0.5)


def test_a_group_is_added_to_one_of_them(make_model):
    optimizer = together(make_model())
    new = nn.Parameter(torch.ones(3))
    with pytest.raises(ValueError, match=r"add the group to one of them.*bases\[0\]"):
        optimizer.add_param_group({"params": [new]})
    optimizer.base.bases[1].add_param_group({"params": [new]})
    assert optimizer.parameters()[-1] is new


def test_other_groups_are_refused_and_change_nothing(make_model):
    optimizer = together(make_model())
    state = optimizer.state_dict()
    state["param_groups"].pop()
    with pytest.raises(ValueError, match="the parameter groups of the state dict differ"):
        SeveralBases(optimizer.base.bases).load_state_dict(state)


# Beside one that is not wrapped


@pytest.mark.parametrize("gradient", [None, 3.0])
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("start", [0, 5])
def test_a_second_optimizer_is_left_the_gradients_it_had(gradient, parts, start, make_model, make_batch):
    """None, or those of a micro-batch that it is still adding up; also after a pass in parts, or an early one."""
    model = make_model()
    body, head = model[0], model[2]
    first = IRE(torch.optim.SGD(body.parameters(), lr=0.1), kappa=1, gamma=0.5, start=start)
    inputs, labels = make_batch(0)
    if gradient is not None:
        for p in head.parameters():
            p.grad = torch.full_like(p, gradient)
    before = [None if p.grad is None else p.grad.clone() for p in head.parameters()]
    assert first.curvature_due == (start == 0)
    for part in inputs.chunk(parts):
        (sampled_nll(model(part)) / parts).backward()
    assert all(p.grad is not None for p in head.parameters())
    first.update_mask()
    for p, old in zip(head.parameters(), before, strict=True):
        assert p.grad is None if old is None else torch.equal(p.grad, old)
    cross_entropy(model(inputs), labels).backward()
    assert set(first._memory.masks) == set(body.parameters())


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("function", [lambda model: model, lambda model: functools.partial(model.forward)])
def test_a_second_optimizer_behind_a_checkpoint_is_left_alone(reentrant, function, make_model, make_batch):
    """A re-entrant checkpoint hides what it computes from autograd's graph."""
    model = make_model()
    first = IRE(torch.optim.SGD(model[0].parameters(), lr=0.1), kappa=1, gamma=0.5)
    inputs = make_batch(0)[0].requires_grad_()
    logits = checkpoint(function(model), inputs, use_reentrant=reentrant)
    sampled_nll(logits).backward()
    assert model[2].weight.grad is not None
    first.update_mask()
    assert all(p.grad is None for p in model.parameters())


def test_a_measurement_between_two_steps_is_no_pass(make_model, make_batch):
    """What the second optimizer had then must not come back after it was cleared."""
    model = make_model()
    first = IRE(torch.optim.SGD(model[0].parameters(), lr=0.1), kappa=1, gamma=0.5)
    cross_entropy(model(make_batch(0)[0]), make_batch(0)[1]).backward()
    fisher_trace(model, [make_batch(1)[0]])
    model.zero_grad()
    sampled_nll(model(make_batch(1)[0])).backward()
    first.update_mask()
    assert all(p.grad is None for p in model.parameters())


def test_two_boosted_optimizers_share_one_pass(make_model, make_batch):
    model = make_model()
    pair = [IRE(torch.optim.SGD(m.parameters(), lr=0.1), kappa=1, gamma=0.5) for m in (model[0], model[2])]
    sampled_nll(model(make_batch(0)[0])).backward()
    for optimizer in pair:
        optimizer.update_mask()
    assert all(p.grad is None for p in model.parameters())
    assert all(len(optimizer.flat_fractions()) == 2 for optimizer in pair)


def test_a_pass_of_another_model_is_none_of_its_business(make_model, make_batch):
    model, other = make_model(), make_model(seed=1)
    optimizer = IRE(torch.optim.SGD(model.parameters(), lr=0.1), kappa=1, gamma=0.5)
    sampled_nll(other(make_batch(0)[0])).backward()
    kept = [p.grad.clone() for p in other.parameters()]
    sampled_nll(model(make_batch(0)[0])).backward()
    optimizer.update_mask()
    assert all(torch.equal(p.grad, g) for p, g in zip(other.parameters(), kept, strict=True))


def test_a_pass_that_was_given_up_restores_nothing_later(make_model, make_batch):
    model = make_model()
    optimizer = IRE(torch.optim.SGD(model[0].parameters(), lr=0.1), kappa=1, gamma=0.5)
    inputs, labels = make_batch(0)
    sampled_nll(model(inputs)).backward()
    optimizer.zero_grad()
    model.zero_grad()
    cross_entropy(model(inputs), labels).backward()
    wanted = [p.grad.clone() for p in model[2].parameters()]
    optimizer.update_mask()
    assert all(torch.equal(p.grad, g) for p, g in zip(model[2].parameters(), wanted, strict=True))
