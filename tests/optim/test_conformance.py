"""One table of promises, kept around every optimizer of torch and many of pytorch_optimizer.

The names of torch's optimizers are taken from torch itself: a new one is tested as soon as it exists.
"""

import copy
import inspect
import io

import pytest
import torch
from torch import nn

from ire import IRE, SAM

pytestmark = pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")  # Sophia's need

ARGUMENTS = {"SGD": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}, "Muon": {}}
REFUSED = {"LBFGS", "SparseAdam"}  # see test_bad_input
TORCH = sorted(
    name
    for name, it in vars(torch.optim).items()
    if inspect.isclass(it) and issubclass(it, torch.optim.Optimizer) and it is not torch.optim.Optimizer
)
OTHERS = {
    "lion": {},
    "soap": {},
    "adan": {},
    "ademamix": {},
    "adopt": {},
    "came": {},
    "lamb": {},
    "laprop": {},
    "mars": {"cautious": True},
    "prodigy": {},
    "schedulefreeadamw": {},
    "schedulefreesgd": {},
    "shampoo": {},
    "stableadamw": {},
    "tiger": {},
    "grams": {},
    "sgdw": {"momentum": 0.9},
    "sophiah": {},
    "adabelief": {},
    "yogi": {},
    "adafactor": {},
    "splus": {},
    "lars": {},
}
CASES = (
    [f"torch {name}" for name in TORCH if name not in REFUSED]
    + [f"extra {name}" for name in OTHERS]
    + [f"sam of {name}" for name in ("SGD", "AdamW")]
)
LAST = 16


def build_base(case, parameters, lr=0.01):
    origin, name = case.split(" ", 1)
    if origin == "sam":
        return SAM(build_base(f"torch {name.removeprefix('of ')}", parameters, lr), rho=0.05)
    if origin == "torch":
        return getattr(torch.optim, name)(parameters, lr=lr, **ARGUMENTS.get(name, {}))
    library = pytest.importorskip(
        "pytorch_optimizer", reason="an optional extra: pip install ire[optimizers]"
    )
    return library.load_optimizer(name)(parameters, lr=lr, **OTHERS[name])


def build_model(case, seed=0):
    """Two layers, the first bias without a gradient, the second frozen; Muon takes matrices only."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4))
    model[2].bias.requires_grad_(False)
    return model


def parameters_of(case, model):
    everything = list(model.parameters())
    return [p for p in everything if p.dim() == 2] if "Muon" in case else everything


class Unbiased(nn.Module):
    """The model as trained here: the bias of the first layer takes no part."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        first, act, second = self.model
        return second(act(x @ first.weight.T))


@pytest.fixture
def run(train, request):
    second_order = "sophiah" in request.node.name  # differentiates the gradient again

    def go(model, optimizer, first, last, schedule=None):
        return train(Unbiased(model), optimizer, first, last, schedule, second_order)

    return go


def wrap(case, model, **settings):
    settings = {"kappa": 2.0, "gamma": 0.6, "interval": 4, "start": 5} | settings
    optimizer = IRE(build_base(case, parameters_of(case, model)), **settings)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, LAST)


def same(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_without_kappa_it_is_the_base_bitwise(case, run):
    wrapped, plain = build_model(case), build_model(case)
    optimizer, _ = wrap(case, wrapped, kappa=0, start=0)
    base = build_base(case, parameters_of(case, plain))
    torch.manual_seed(1)
    losses = run(wrapped, optimizer, 0, 6)
    torch.manual_seed(1)
    assert losses == run(plain, base, 0, 6)
    assert same(wrapped, plain)


@pytest.mark.parametrize("case", CASES)
def test_boosts_the_displacement_of_one_step(case, run):
    """Out of equal states: the boosted displacement is 1 + κ times the base's on the mask, else equal."""
    model = build_model(case)
    optimizer, _ = wrap(case, model, kappa=2.0, start=0)
    run(model, optimizer, 0, 1)
    twin, copied = copy.deepcopy((model, optimizer))
    start = copy.deepcopy(model)
    torch.manual_seed(1)
    run(model, optimizer, 1, 2)
    torch.manual_seed(1)
    run(twin, copied.base, 1, 2)
    moved = False
    for p, q, old in zip(model.parameters(), twin.parameters(), start.parameters(), strict=True):
        mask = optimizer._memory.masks.get(p, torch.zeros(()))
        torch.testing.assert_close(p - old, (q - old) * (1 + 2 * mask), rtol=1e-4, atol=2e-6)
        moved |= bool((p != q).any())
    assert moved


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("stop", [2, 5, 7, 9])
def test_resumes_in_lock_step(case, stop, run):
    straight = build_model(case)
    optimizer, schedule = wrap(case, straight)
    run(straight, optimizer, 0, stop, schedule)
    file = io.BytesIO()
    torch.save([straight.state_dict(), optimizer.state_dict(), schedule.state_dict()], file)
    rng = torch.get_rng_state()
    losses = run(straight, optimizer, stop, LAST, schedule)

    second = build_model(case, seed=5)
    optimizer, schedule = wrap(case, second)
    file.seek(0)
    for thing, state in zip((second, optimizer, schedule), torch.load(file, weights_only=True), strict=True):
        thing.load_state_dict(state)
    torch.set_rng_state(rng)
    assert run(second, optimizer, stop, LAST, schedule) == losses
    assert same(second, straight)


@pytest.mark.parametrize("case", CASES)
def test_a_deep_copy_goes_its_own_way(case, run):
    model = build_model(case)
    optimizer, _ = wrap(case, model)
    run(model, optimizer, 0, 7)
    copied, its_optimizer = copy.deepcopy((model, optimizer))
    rng = torch.get_rng_state()
    losses = run(model, optimizer, 7, 12)
    torch.set_rng_state(rng)
    assert run(copied, its_optimizer, 7, 12) == losses and same(model, copied)


@pytest.mark.parametrize("case", CASES)
def test_groups_are_left_out_or_added(case, run):
    model = build_model(case)
    first, second = model[0].weight, model[2].weight
    optimizer = IRE(build_base(case, [{"params": [first], "kappa": 0.0}]), kappa=2, gamma=0.5, interval=3)
    run(model, optimizer, 0, 2)
    assert optimizer.kappa_in_force == 0 and not optimizer.flat_fractions()
    model.zero_grad()  # the optimizer has not cleared what it did not know
    optimizer.add_param_group({"params": [second]})
    model.zero_grad()  # of the steps in which nobody cleared the second's
    run(model, optimizer, 2, 7)
    assert set(optimizer.flat_fractions()) == {second} and optimizer.kappa_in_force == 2


OF_THE_DEVICE = ("soap", "splus", "sophiah")
"""Eigenvectors are free in their signs, and Hutchinson's draws come from the device's generator."""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("case", [case for case in CASES if not case.endswith(OF_THE_DEVICE)])
def test_gives_the_same_on_a_cuda_device(case):
    results = []
    for device in ("cpu", "cuda"):
        model = build_model(case).to(device)
        optimizer = IRE(
            build_base(case, parameters_of(case, model)), kappa=2, gamma=0.5, curvature="empirical"
        )
        for step in range(4):

            def gradients(step=step, model=model, device=device):
                for i, p in enumerate(parameters_of(case, model)):
                    noise = torch.Generator().manual_seed(10 * step + i)
                    p.grad = torch.randn(p.shape, generator=noise).to(device)
                return torch.zeros(())

            gradients()
            optimizer.step(gradients if case.startswith("sam") else None)
        results.append([p.detach().cpu() for p in model.parameters()])
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-5)
