"""What torch offers around an optimizer works on IRE as on its base: modes, hooks, defaults of device and dtype."""

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from ire import IRE, SAM, fisher_trace, hessian_trace, largest_eigenvalue, sampled_nll


class Modal(torch.optim.SGD):
    """With modes, as schedule-free optimizers have them."""

    mode = None

    def train(self):
        self.mode = "train"

    def eval(self):
        self.mode = "eval"


@pytest.mark.parametrize("around", [lambda base: base, SAM, lambda base: [base]])
def test_modes_reach_the_base_that_has_them(around):
    base = Modal([nn.Parameter(torch.ones(3))], lr=0.1)
    optimizer = IRE(around(base), kappa=1, gamma=1)
    optimizer.eval()
    assert base.mode == "eval"
    optimizer.train()
    assert base.mode == "train"


@pytest.mark.parametrize("around", [lambda base: base, SAM, lambda base: [base]])
def test_a_base_without_modes_gets_none(around):
    optimizer = IRE(around(torch.optim.SGD([nn.Parameter(torch.ones(3))], lr=0.1)), kappa=1, gamma=1)
    assert not hasattr(optimizer, "train") and not hasattr(optimizer, "eval")
    with pytest.raises(AttributeError, match="'IRE' object has no attribute 'nothing'"):
        optimizer.nothing  # noqa: B018


@pytest.mark.parametrize("path", ["native", "rebuilt", "measured", "sam"])
def test_global_hooks_see_every_step_once(path):
    """Before and after the start, whichever way the step is taken."""
    p, seen = nn.Parameter(torch.ones(3)), []
    base = torch.optim.RMSprop([p]) if path == "measured" else torch.optim.AdamW([p])
    if path == "rebuilt":
        base.register_step_post_hook(lambda *_: seen.append("own"))
    optimizer = IRE(SAM(base) if path == "sam" else base, kappa=1, gamma=1, start=2)

    def closure():
        optimizer.zero_grad()
        p.sum().backward()
        return p.sum()

    handles = [
        register(lambda it, *_, when=when: seen.append((when, type(it).__name__)))
        for register, when in (
            (register_optimizer_step_pre_hook, "before"),
            (register_optimizer_step_post_hook, "after"),
        )
    ]
    try:
        for _ in range(4):
            optimizer.step(closure)
    finally:
        for handle in handles:
            handle.remove()
    own = ["own"] if path == "rebuilt" else []
    assert seen == [("before", "IRE"), *own, ("after", "IRE")] * 4


def test_a_compiled_function_may_take_the_step(make_model, make_batch, vector):
    """The step itself stays as it is: torch.compile cannot follow it."""
    ends = []
    for wrap in (lambda step: step, torch.compile):
        model = make_model()
        optimizer = IRE(
            torch.optim.SGD(model.parameters(), lr=0.1), kappa=1, gamma=0.5, curvature="empirical"
        )
        step = wrap(lambda optimizer=optimizer: optimizer.step())
        for i in range(3):
            model(make_batch(i)[0]).square().sum().backward()
            step()
            optimizer.zero_grad()
        ends.append(vector(model))
    assert torch.equal(*ends)


def test_global_hooks_stay_after_a_step_that_fails():
    optimizer = IRE(torch.optim.SGD([nn.Parameter(torch.ones(3))], lr=0.1), kappa=1, gamma=1)
    seen = []
    handle = register_optimizer_step_pre_hook(lambda *_: seen.append(1))
    try:
        with pytest.raises(ZeroDivisionError):
            optimizer.step(lambda: 1 / 0)
        optimizer.step()
    finally:
        handle.remove()
    assert seen == [1, 1]


@pytest.mark.parametrize("base", [torch.optim.AdamW, torch.optim.SGD, torch.optim.RMSprop])
def test_the_default_dtype_changes_nothing(base):
    ends = []
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        p = nn.Parameter(torch.linspace(-1, 1, 50, dtype=torch.float32))
        optimizer = IRE(base([p], lr=1e-2), kappa=1, gamma=0.5, curvature="empirical")
        torch.set_default_dtype(dtype)
        try:
            for step in range(300):
                p.grad = torch.sin(p.detach() * (step + 1))
                optimizer.step()
        finally:
            torch.set_default_dtype(torch.float32)
        ends.append(p.detach())
    assert torch.equal(ends[0], ends[1]) and torch.equal(ends[0], ends[2])


@pytest.mark.parametrize("curvature", ["sampled", "empirical", "random"])
@pytest.mark.parametrize("settings", [{}, {"ema": 0.5}])
def test_the_default_device_does_not_matter(curvature, settings):
    """`meta` stands for any that the model is not on."""
    if curvature == "random" and settings:
        pytest.skip("has nothing to average")
    torch.manual_seed(0)
    model = nn.Linear(300, 20)
    inputs = torch.randn(4, 300)
    optimizer = IRE(
        torch.optim.AdamW(model.parameters(), lr=0.01),
        **{"kappa": 1, "gamma": 0.5, "curvature": curvature, "interval": 2} | settings,
    )
    with torch.device("meta"):
        for _ in range(4):
            if optimizer.curvature_due:
                sampled_nll(model(inputs)).backward()
                optimizer.update_mask()
            model(inputs).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        losses = [lambda: model(inputs).square().mean()]
        generator = torch.Generator("cpu").manual_seed(0)
        fisher_trace(model, [inputs])
        hessian_trace(losses, list(model.parameters()), probes=1, generator=generator)
        largest_eigenvalue(losses, list(model.parameters()), products=2)
    assert optimizer.flat_fraction == pytest.approx(0.5, abs=0.01)


def test_settings_can_be_read_changed_and_are_shown():
    optimizer = IRE(torch.optim.SGD([nn.Parameter(torch.ones(3))], lr=0.1), kappa=4, gamma=0.6, start=7)
    assert (optimizer.kappa, optimizer.gamma, optimizer.start) == (4, 0.6, 7)
    assert repr(optimizer).startswith("IRE(kappa=4, gamma=0.6, start=7) around SGD")
    assert repr(SAM(optimizer.base)).startswith("SAM(rho=0.05, adaptive=False) around SGD")
    optimizer.kappa, optimizer.gamma = 2, 1
    optimizer.start_now()
    [p] = optimizer.parameters()
    p.grad = torch.ones(3)
    optimizer.step()
    torch.testing.assert_close(p.detach(), torch.full((3,), 0.7))
    optimizer.start_now()
    assert optimizer.start == 0 and optimizer.kappa_in_force == 2
    with pytest.raises(ValueError, match="kappa must be finite"):
        optimizer.kappa = -1
    assert optimizer.kappa == 2


@pytest.mark.parametrize(
    "name, value", [("interval", 3), ("lr_max", 0.2), ("ema", 0.5), ("seed", 7), ("pack_masks", True)]
)
def test_every_other_setting_that_can_be_set_has_its_effect(name, value, make_model, train, vector):
    """The rest of the run is that of an optimizer which was built with it."""
    ends = []
    curvature = "random" if name == "seed" else "sampled"
    settings = {"kappa": 2, "gamma": 0.5, "interval": 1, "curvature": curvature}
    for is_set in (True, False):
        model = make_model()
        optimizer = IRE(
            torch.optim.SGD(model.parameters(), lr=0.1),
            **settings | {} if is_set else settings | {name: value},
        )
        if is_set:
            setattr(optimizer, name, value)
        assert getattr(optimizer, name) == value
        train(model, optimizer, 0, 6)
        ends.append((vector(model), optimizer.state_dict()["ire"]))
    assert torch.equal(ends[0][0], ends[1][0])
    assert ends[0][1]["bits"] == ends[1][1]["bits"] == (name == "pack_masks")


def named(name):
    return f"^{name} is fixed once IRE is built; settable are kappa, gamma, interval, "


@pytest.mark.parametrize(
    "name, message",
    [
        *(
            (name, named(name))
            for name in ("curvature", "compile", "by_name", "ranked_by", "settings", "base")
        ),
        ("boost_weight_decay", named("boost_weight_decay")),
        ("kapa", "no setting 'kapa', so this has no effect; did you mean kappa?"),
        ("intervall", "did you mean interval?"),
        ("steps", "no setter"),
        ("kappa_in_force", "no setter"),
    ],
)
def test_what_would_have_no_effect_cannot_be_set(name, message):
    optimizer = IRE(torch.optim.SGD([nn.Parameter(torch.ones(3))], lr=0.1), kappa=4, gamma=0.6)
    before = vars(optimizer).copy()
    with pytest.raises(AttributeError, match=message):
        setattr(optimizer, name, 2)
    assert vars(optimizer) == before
    optimizer.name = "mine"  # as on any optimizer
    assert optimizer.name == "mine"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"kappa": -3}, "got -3"),
        ({"gamma": None}, "got None"),
        ({"kapa": 3}, "kapa=3, .* did you mean kappa"),
    ],
)
def test_what_a_group_is_given_later_is_checked_at_the_next_step(change, message):
    p = nn.Parameter(torch.ones(3))
    optimizer = IRE(torch.optim.SGD([p], lr=0.1), kappa=4, gamma=1)
    p.grad = torch.ones(3)
    optimizer.step()
    before = p.detach().clone()
    optimizer.param_groups[0].update(change, kappa=change.get("kappa", 2))
    with pytest.raises(ValueError, match=message):
        optimizer.step()
    assert torch.equal(p.detach(), before) and optimizer.steps == 1


def test_start_now_begins_with_the_step_that_comes():
    p = nn.Parameter(torch.ones(3))
    optimizer = IRE(torch.optim.SGD([p], lr=0.1), kappa=1, gamma=1, start=100)
    boosts = []
    for step in range(3):
        if step == 1:
            optimizer.start_now()
        p.grad = torch.ones(3)
        optimizer.step()
        boosts.append(optimizer.kappa_in_force)
    assert boosts == [0, 1, 1] and optimizer.start == 1


def test_defaults_can_be_set_as_on_the_base():
    """As Accelerate does."""
    base = torch.optim.SGD([nn.Parameter(torch.ones(3))], lr=0.1)
    optimizer = IRE(base, kappa=1, gamma=1)
    optimizer.defaults = base.defaults | {"lr": 0.5}
    assert base.defaults["lr"] == 0.5
