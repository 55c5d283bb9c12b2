"""A run that is saved and loaded anywhere is the run that was never interrupted, bit for bit."""

import copy
import io
import pickle

import pytest
import torch

from ire import IRE, SAM
from ire.optim.wrapping.memory import from_bits, to_bits

BASES = {
    "sgd": lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adamw": lambda ps: torch.optim.AdamW(ps, lr=0.01),
    "sam": lambda ps: SAM(torch.optim.AdamW(ps, lr=0.01), rho=0.1),
}
LAST = 24


def build(base, model, curvature="sampled"):
    optimizer = IRE(
        BASES[base](model.parameters()), kappa=2, gamma=0.6, interval=4, start=6, curvature=curvature
    )
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, LAST)


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("curvature", ["sampled", "random", "sharpest"])
@pytest.mark.parametrize("stop", [0, 3, 6, 7, 10, 12])
def test_lock_step_with_the_uninterrupted_twin(base, curvature, stop, make_model, vector, train):
    straight = make_model()
    optimizer, schedule = build(base, straight, curvature)
    losses = train(straight, optimizer, 0, LAST, schedule)

    first = make_model()
    optimizer, schedule = build(base, first, curvature)
    train(first, optimizer, 0, stop, schedule)
    saved = through_a_file([first.state_dict(), optimizer.state_dict(), schedule.state_dict()])

    second = make_model(seed=9)
    optimizer, schedule = build(base, second, curvature)
    train(second, optimizer, 0, 2, schedule)  # a used optimizer is overwritten entirely
    optimizer.zero_grad()
    for thing, state in zip((second, optimizer, schedule), saved, strict=True):
        thing.load_state_dict(state)
    assert optimizer.steps == stop
    assert train(second, optimizer, stop, LAST, schedule) == losses[stop:]
    assert torch.equal(vector(second), vector(straight))
    assert all(mask.dtype == torch.uint8 for mask in optimizer._memory.masks.values())


def test_the_state_has_torch_s_shape(make_model, train):
    model = make_model()
    optimizer, _ = build("adamw", model)
    train(model, optimizer, 0, 8)
    state = optimizer.state_dict()
    assert set(state) == {"state", "param_groups", "ire"}
    assert set(state["state"][0]) == {"step", "exp_avg", "exp_avg_sq"}


def test_loading_twice_shares_nothing(make_model, train, vector):
    model, other = make_model(), make_model()
    optimizer, _ = build("sgd", model)
    train(model, optimizer, 0, 8)
    twin, _ = build("sgd", other)
    twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    state = optimizer.state_dict()["ire"]["masks"][0].clone()
    train(other, twin, 8, 20)
    assert torch.equal(optimizer.state_dict()["ire"]["masks"][0], state)


def test_an_lr_scheduler_still_works_after_a_reload(make_model, train):
    model = make_model()
    optimizer, schedule = build("sgd", model)
    optimizer.load_state_dict(optimizer.state_dict())
    before = optimizer.param_groups[0]["lr"]
    train(model, optimizer, 0, 3, schedule)
    assert optimizer.param_groups[0]["lr"] < before
    assert optimizer.base.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


def test_the_schedule_reaches_the_base(make_model, train, vector):
    """Half the rate, set through the wrapper before or after a reload, halves a plain SGD step."""
    moved = []
    for reload in (False, True):
        model = make_model()
        start = vector(model)
        optimizer = IRE(torch.optim.SGD(model.parameters(), lr=0.2), kappa=0, gamma=0.5)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5)
        if reload:
            optimizer.load_state_dict(optimizer.state_dict())
        assert schedule.get_last_lr() == [0.1]
        train(model, optimizer, 0, 1)
        moved.append(vector(model) - start)
    assert torch.equal(*moved)
    plain = make_model()
    start = vector(plain)
    train(plain, torch.optim.SGD(plain.parameters(), lr=0.1), 0, 1)
    assert torch.equal(moved[0], vector(plain) - start)


def test_a_deep_copy_goes_its_own_way(make_model, train, vector):
    model = make_model()
    optimizer, schedule = build("adamw", model)
    train(model, optimizer, 0, 9, schedule)
    model_copy, optimizer_copy = copy.deepcopy((model, optimizer))
    assert optimizer_copy.param_groups is optimizer_copy.base.param_groups
    frozen = vector(model)
    copied = train(model_copy, optimizer_copy, 9, 20)
    assert torch.equal(vector(model), frozen)
    assert copied == train(model, optimizer, 9, 20)


def test_a_new_group_joins_at_the_next_refresh(make_model, train):
    model = make_model()
    *rest, last = model.parameters()
    optimizer = IRE(torch.optim.AdamW(rest, lr=0.01), kappa=1, gamma=0.5, interval=3)
    train(model, optimizer, 0, 2)
    optimizer.add_param_group({"params": [last], "lr": 0.1})
    train(model, optimizer, 2, 3)
    assert last not in optimizer.flat_fractions()
    train(model, optimizer, 3, 4)
    assert last in optimizer.flat_fractions()


def test_a_parameter_that_was_replaced_in_its_group_is_forgotten(make_model, train):
    """As by pruning, growing and Gaussian splatting: its mask is not saved, and its average not kept alive."""
    model = make_model()
    optimizer = IRE(torch.optim.AdamW(model.parameters(), lr=0.01), kappa=1, gamma=0.5, interval=2, ema=0.5)
    train(model, optimizer, 0, 1)
    old, new = model[2].bias, torch.nn.Parameter(model[2].bias.detach().clone())
    model[2].bias = optimizer.param_groups[0]["params"][3] = new
    optimizer.state[new] = optimizer.state.pop(old)
    assert 3 not in optimizer.state_dict()["ire"]["masks"]
    train(model, optimizer, 1, 3)
    assert set(optimizer.state_dict()["ire"]["masks"]) == set(range(4))
    assert set(optimizer._memory.averages) == set(model.parameters())


@pytest.mark.parametrize("around", [lambda base: base, SAM])
@pytest.mark.parametrize("copied", [lambda it: it, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_groups_keep_their_settings_when_a_plain_checkpoint_is_loaded(around, copied, make_model):
    a, *rest = make_model().parameters()
    plain = torch.optim.AdamW([{"params": [a]}, {"params": rest}], lr=0.25)
    groups = [{"params": [a], "kappa": 0, "lr_max": None}, {"params": rest, "gamma": 0.5, "lr_max": 0.5}]
    optimizer = copied(IRE(around(torch.optim.AdamW(groups, lr=0.1)), kappa=4, gamma=0.6, lr_max=1))
    optimizer.base.load_state_dict(plain.state_dict())
    settings = [
        {name: group.get(name) for name in ("lr", "kappa", "gamma", "lr_max")}
        for group in optimizer.param_groups
    ]
    assert settings == [
        {"lr": 0.25, "kappa": 0, "gamma": None, "lr_max": None},
        {"lr": 0.25, "kappa": None, "gamma": 0.5, "lr_max": 0.5},
    ]
    assert "lr_max" in optimizer.param_groups[0]


def test_settings_of_groups_are_loaded_as_their_lr_is(make_model):
    def wrapped(**group):
        return IRE(
            torch.optim.SGD([{"params": make_model().parameters()} | group], lr=0.1), kappa=4, gamma=0.6
        )

    optimizer = wrapped(kappa=1, gamma=0.5)
    optimizer.load_state_dict(wrapped(kappa=2).state_dict())
    assert optimizer.param_groups[0]["kappa"] == 2 and optimizer.param_groups[0]["gamma"] == 0.5


def test_a_plain_checkpoint_with_other_groups_is_refused(make_model):
    a, *rest = make_model().parameters()
    optimizer = IRE(torch.optim.SGD([{"params": [a]}, {"params": rest}], lr=0.1), kappa=4, gamma=0.6)
    with pytest.raises(ValueError, match="different number of parameter groups"):
        optimizer.base.load_state_dict(torch.optim.SGD([a, *rest]).state_dict())


def bigger(state):
    state["ire"]["shapes"][0] = [70, 50]


def fewer(state):
    state["ire"]["shapes"].pop()


def plain(state):
    del state["ire"]


@pytest.mark.parametrize(
    "saved, loading, missing",
    [
        (torch.optim.SGD, torch.optim.AdamW, "lack .*betas.*, which AdamW needs, and have .*momentum"),
        (torch.optim.AdamW, torch.optim.SGD, "lack .*momentum.*, which SGD needs, and have .*betas"),
        (torch.optim.Adam, torch.optim.RMSprop, "lack alpha.*, which RMSprop needs, and have .*betas"),
    ],
)
def test_the_state_of_another_optimizer_is_refused_and_changes_nothing(
    saved, loading, missing, make_model, train
):
    def trained(base):
        model = make_model()
        optimizer = IRE(base(model.parameters(), lr=0.1), kappa=1, gamma=0.5)
        train(model, optimizer, 0, 2)
        return model, optimizer

    (_, other), (model, optimizer) = trained(saved), trained(loading)
    groups, steps = copy.deepcopy(optimizer.state_dict()["param_groups"]), optimizer.steps
    with pytest.raises(ValueError, match=missing):
        optimizer.load_state_dict(other.state_dict())
    assert optimizer.state_dict()["param_groups"] == groups and optimizer.steps == steps
    train(model, optimizer, 2, 4)


def test_a_checkpoint_older_than_a_number_that_the_base_fills_in_is_loaded(make_model, train):
    model = make_model()
    optimizer = IRE(torch.optim.RMSprop(model.parameters(), lr=0.1), kappa=1, gamma=0.5)
    train(model, optimizer, 0, 2)
    state = optimizer.state_dict()
    del state["param_groups"][0]["momentum"]
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["momentum"] == 0
    train(model, optimizer, 2, 4)


@pytest.mark.parametrize("name", ["OrthoGrad", "Lookahead", "PCGrad"])
def test_a_base_that_wraps_another_without_torchs_hooks_is_wrapped(name, make_model, train):
    library = pytest.importorskip(
        "pytorch_optimizer", reason="an optional extra: pip install ire[optimizers]"
    )
    model = make_model()
    base = getattr(library, name)(torch.optim.AdamW(model.parameters(), lr=0.01))
    train(model, IRE(base, kappa=1, gamma=0.5, start=1), 0, 4)


def test_a_checkpoint_older_than_a_switch_is_loaded(make_model, train):
    """As those that torch wrote before it had `fused`."""
    model = make_model()
    optimizer, _ = build("adamw", model)
    train(model, optimizer, 0, 2)
    state = optimizer.state_dict()
    for name in ("amsgrad", "maximize", "foreach", "capturable", "differentiable", "fused"):
        del state["param_groups"][0][name]
    optimizer.load_state_dict(state)
    train(model, optimizer, 2, 8)
    assert optimizer.kappa_in_force == 2


@pytest.mark.parametrize(
    "damage, message",
    [
        (bigger, r"shape \(70, 50\) instead of"),
        (fewer, "3 parameters instead of 4"),
        (plain, "optimizer.base"),
    ],
)
def test_the_state_of_another_model_is_refused_and_changes_nothing(damage, message, make_model, train):
    model = make_model()
    optimizer, _ = build("adamw", model)
    train(model, optimizer, 0, 8)
    before = copy.deepcopy(optimizer.state_dict())
    foreign = copy.deepcopy(before)
    foreign["param_groups"][0]["lr"] = 77
    damage(foreign)
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(foreign)
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"] and after["ire"]["steps"] == 8
    assert all(torch.equal(after["ire"]["masks"][i], mask) for i, mask in before["ire"]["masks"].items())


@pytest.mark.parametrize("loads_bits", [False, True])
@pytest.mark.parametrize("saves_bits", [False, True])
def test_masks_as_bits_and_as_bytes_are_the_same_run(saves_bits, loads_bits, make_model, train, vector):
    def built(pack_masks):
        model = make_model()
        base = torch.optim.AdamW(model.parameters(), lr=0.01)
        return model, IRE(base, kappa=2, gamma=0.6, interval=4, pack_masks=pack_masks)

    (model, optimizer), (second, resumed) = built(saves_bits), built(loads_bits)
    train(model, optimizer, 0, 6)
    state = through_a_file([model.state_dict(), optimizer.state_dict()])
    masks = state[1]["ire"]["masks"]
    assert [m.numel() for m in masks.values()] == ([5, 1, 4, 1] if saves_bits else [35, 7, 28, 4])
    second.load_state_dict(state[0])
    resumed.load_state_dict(state[1])
    assert train(second, resumed, 6, 12) == train(model, optimizer, 6, 12)
    assert torch.equal(vector(second), vector(model))


@pytest.mark.parametrize("shape", [(0,), (1,), (8,), (3, 5), (2, 3, 4, 4), ()])
def test_bits_hold_any_shape(shape):
    mask = torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    bits = to_bits(mask)
    assert bits.dtype == torch.uint8 and bits.numel() == -(-mask.numel() // 8)
    assert torch.equal(from_bits(bits, mask.shape), mask)


def test_a_checkpoint_from_before_overlaps_were_kept_is_loaded(make_model, train):
    model = make_model()
    optimizer, _ = build("sgd", model)
    train(model, optimizer, 0, 12)
    state = optimizer.state_dict()
    for name in ("overlap", "zeros", "bits"):
        del state["ire"][name]
    optimizer.load_state_dict(state)
    assert optimizer.diagnostics()["overlap"] is None
    train(model, optimizer, 12, 16)


@pytest.mark.parametrize("name", ["Lookahead", "ScheduleFreeWrapper"])
def test_a_base_that_is_boosted_inside_resumes_bit_for_bit(name, make_model, train, vector):
    library = pytest.importorskip(
        "pytorch_optimizer", reason="an optional extra: pip install '.[optimizers]'"
    )

    def built():
        model = make_model()
        base = getattr(library, name)(torch.optim.AdamW(model.parameters(), lr=0.01))
        getattr(base, "train", lambda: None)()
        return model, IRE(base, kappa=2, gamma=0.6, interval=4)

    (model, optimizer), (second, resumed) = built(), built()
    train(model, optimizer, 0, 7)
    state = through_a_file([model.state_dict(), optimizer.state_dict()])
    second.load_state_dict(state[0])
    resumed.load_state_dict(state[1])
    assert resumed.path == "inside"
    assert train(second, resumed, 7, 14) == train(model, optimizer, 7, 14)
    assert torch.equal(vector(second), vector(model))


@pytest.mark.parametrize(
    "damage, message",
    [
        (
            lambda ire: ire["masks"].update({0: torch.ones(2, 2, dtype=torch.uint8)}),
            r"shape \(2, 2\) instead of",
        ),
        (lambda ire: ire["masks"].update({0: 7 * ire["masks"][0]}), "masks with values other than 0 and 1"),
        (lambda ire: ire["masks"].update({0: ire["masks"][0] / 2}), "masks with values other than 0 and 1"),
        (lambda ire: ire["masks"].update({9: ire["masks"][0]}), "masks of parameter 9, but there are 4"),
        (lambda ire: ire["masks"].update({"0": ire["masks"][0]}), "masks of parameter '0', but there are 4"),
        (
            lambda ire: ire["averages"].update({1: torch.ones(3)}),
            r"averages of shape \(3,\) instead of \(7,\)",
        ),
        (lambda ire: ire.update(bits=True), "masks of shape .* instead of"),
        (lambda ire: ire.update(steps=-1), "has steps=-1: it is damaged"),
        (lambda ire: ire.update(refreshed_at="3"), "has refreshed_at='3': it is damaged"),
    ],
)
def test_a_damaged_state_is_named_and_changes_nothing(damage, message, make_model, train, vector):
    model, other = make_model(), make_model(seed=1)
    settings = {"kappa": 2, "gamma": 0.5, "interval": 3, "ema": 0.5}
    optimizer, fresh = (IRE(torch.optim.AdamW(m.parameters(), lr=0.01), **settings) for m in (model, other))
    train(model, optimizer, 0, 4)
    state = copy.deepcopy(optimizer.state_dict())
    damage(state["ire"])
    with pytest.raises(ValueError, match=message):
        fresh.load_state_dict(state)
    assert fresh.steps == 0 and not fresh.state and not fresh.flat_fractions()


@pytest.mark.parametrize("saved, loaded", [(torch.float64, torch.float32), (torch.float32, torch.float64)])
def test_a_state_continues_in_a_model_of_another_precision(saved, loaded, make_model, train):
    settings = {"kappa": 2, "gamma": 0.5, "interval": 3, "ema": 0.5}
    model, other = make_model(dtype=saved), make_model(dtype=loaded)
    optimizer, resumed = (IRE(torch.optim.AdamW(m.parameters(), lr=0.01), **settings) for m in (model, other))
    train(model, optimizer, 0, 4)
    other.load_state_dict(model.state_dict())
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(resumed._memory.averages[q], optimizer._memory.averages[p].to(loaded))
    train(other, resumed, 4, 9)
    assert resumed._memory.refreshes == 3 and resumed.skipped_refreshes == 0
