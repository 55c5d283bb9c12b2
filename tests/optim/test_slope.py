"""The effect of the boost, not one step's: on a constant slope a boosted base covers 1 + κ times its own distance.

A base that keeps a copy of the parameters may pass any test of single steps, and lose the boost or blow it up in the
next ones. So every optimizer of torch and of pytorch_optimizer is in one of the tables below, and one that is new
there is tested as soon as it exists.
"""

import inspect

import pytest
import torch
from torch import nn

from ire import IRE

KAPPA, STEPS = 4.0, 25
TORCH = sorted(
    name
    for name, it in vars(torch.optim).items()
    if inspect.isclass(it) and issubclass(it, torch.optim.Optimizer) and it is not torch.optim.Optimizer
)
ARGUMENTS = {"ranger21": {"num_iterations": 100}, "bsam": {"num_data": 10}}
MUONS = ("adago", "adamuon", "muon", "muonclip", "normuon")  # which want to know what is a matrix
NESTED = {
    "Lookahead(SGD)": lambda library, ps: library.Lookahead(torch.optim.SGD(ps, lr=0.01)),
    "Lookahead(AdamW)": lambda library, ps: library.Lookahead(torch.optim.AdamW(ps, lr=0.01)),
    "ScheduleFree(SGD)": lambda library, ps: library.ScheduleFreeWrapper(torch.optim.SGD(ps, lr=0.01)),
    "ScheduleFreeAdamW(decoupling_c)": lambda library, ps: library.ScheduleFreeAdamW(
        ps, lr=0.01, decoupling_c=20
    ),
    "PCGrad(Lookahead(SGD))": lambda library, ps: library.PCGrad(
        library.Lookahead(torch.optim.SGD(ps, lr=0.01))
    ),
    "Lookahead(ScheduleFreeSGD)": lambda library, ps: library.Lookahead(library.ScheduleFreeSGD(ps, lr=0.01)),
    "OrthoGrad(AdamW)": lambda library, ps: library.OrthoGrad(torch.optim.AdamW(ps, lr=0.01)),
}
REFUSED = {
    **{f"torch {name}": "evaluates its closure|sparse gradients" for name in ("LBFGS", "SparseAdam")},
    "a2grad": r"use IRE\(AdamW",
    "accsgd": r"use IRE\(SGD",
    "adalomo": "inside the backward pass",
    "alig": "from the loss inside its step",
    "bsam": r"use IRE\(SAM\(AdamW",
    "dadaptadagrad": r"use IRE\(Adagrad",
    "dadaptsgd": r"use IRE\(SGD",
    "ftrl": r"use IRE\(Adagrad",
    "lbfgs": "evaluates its closure",
    "lomo": "inside the backward pass",
    "madgrad": r"use IRE\(Adagrad",
    "nero": r"use IRE\(AdamW",
    "ranger": r"use Lookahead\(IRE\(RAdam",
    "ranger21": r"use Lookahead\(IRE\(AdamW",
    "srmm": r"use IRE\(SGD",
}
SINGLE_STEPS = {
    "torch ASGD": "decays the weights",
    "torch Adafactor": "scales steps by the size of the weights",
    "adafactor": "scales steps by the size of the weights",
    "adalite": "scales steps by the size of the weights",
    "adamp": "removes what points along the weights",
    "amos": "decays the weights",
    "fromage": "scales steps and weights by the size of the weights",
    "lamb": "scales steps by the size of the weights",
    "lars": "scales steps by the size of the weights",
    "OrthoGrad(AdamW)": "removes what points along the weights",
    "prodigy": "estimates its rate from the distance covered",
    "sgdp": "removes what points along the weights",
    "spectralsphere": "keeps the weights on a sphere",
}
"""Bases whose own step depends on the weights or on the distance covered: only a single step compares."""
ELSEWHERE = {
    "adahessian": "differentiates the gradient: test_conformance has sophiah",
    "adammini": "takes a module",
    "demo": "needs einops",
    "distributedmuon": "needs a process group",
    "lorarite": "needs pairs of adapters",
    "sara": "moves small weights of large matrices only",
    "sophiah": "differentiates the gradient: see test_conformance",
}


def library():
    return pytest.importorskip("pytorch_optimizer", reason="an optional extra: pip install ire[optimizers]")


def others():
    try:
        import pytorch_optimizer
    except ImportError:
        return []
    return sorted(pytorch_optimizer.get_supported_optimizers())


EVERYTHING = [f"torch {name}" for name in TORCH] + others() + list(NESTED)


def build(name, parameters):
    """That optimizer without weight decay, which depends on where the weights are."""
    if name in NESTED:
        base = NESTED[name](library(), parameters)
    elif name.startswith("torch "):
        kind = getattr(torch.optim, name.removeprefix("torch "))
        base = kind(parameters, lr=0.01)
    else:
        kind = library().load_optimizer(name)
        takes_lr = "lr" in inspect.signature(kind).parameters
        groups = [{"params": parameters, "use_muon": True}] if name in MUONS else parameters
        base = kind(groups, **({"lr": 0.01} if takes_lr else {}), **ARGUMENTS.get(name, {}))
    for group in base.param_groups:
        for name in group:
            if name in ("weight_decay", "weight_decay_1d"):
                group[name] = 0.0
    getattr(base, "train", lambda: None)()
    return base


def probe(dtype):
    g = torch.Generator().manual_seed(0)
    start, slope = (torch.randn(6, 4, generator=g, dtype=torch.float64).to(dtype) for _ in range(2))
    return start, 0.1 * slope


def went(name, kappa, steps, mask=None, dtype=torch.float64):
    """Where it is after so many steps on the slope, from its start."""
    start, slope = probe(dtype)
    p = nn.Parameter(start.clone())
    gamma = 1 if mask is None else 0.5
    optimizer = IRE(build(name, [p]), kappa=kappa, gamma=gamma, curvature="random", interval=10**9)
    if mask is not None:
        optimizer._memory.masks[p], optimizer._memory.refreshed_at = mask, 0
    for step in range(steps):
        p.grad = slope.clone()
        torch.manual_seed(step)
        optimizer.step()
    return p.detach() - start


@pytest.mark.parametrize("name", [n for n in EVERYTHING if n not in {*REFUSED, *SINGLE_STEPS, *ELSEWHERE}])
def test_covers_one_plus_kappa_times_the_distance(name):
    dtype = torch.float32 if name == "fadam" else torch.float64  # mixes dtypes otherwise
    alone, boosted = went(name, 0.0, STEPS, dtype=dtype), went(name, KAPPA, STEPS, dtype=dtype)
    assert alone.norm() > 1e-7
    tolerance = 1e-5 if "muon" in name or name in ("adago", "fadam") else 1e-6
    assert (boosted - (1 + KAPPA) * alone).norm() / ((1 + KAPPA) * alone).norm() < tolerance


@pytest.mark.parametrize(
    "name",
    [
        "torch AdamW",
        "torch SGD",
        "schedulefreesgd",
        "schedulefreeradam",
        *(n for n in NESTED if n not in SINGLE_STEPS),
    ],
)
def test_only_the_mask_goes_further(name):
    if not name.startswith("torch"):
        library()
    mask = (torch.arange(24) % 2).view(6, 4).to(torch.uint8)
    alone, boosted = went(name, 0.0, STEPS), went(name, KAPPA, STEPS, mask)
    torch.testing.assert_close(boosted, alone * (1 + KAPPA * mask), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in SINGLE_STEPS if name in EVERYTHING])
def test_a_single_step_goes_one_plus_kappa_times_as_far(name):
    alone, boosted = went(name, 0.0, 1), went(name, KAPPA, 1)
    torch.testing.assert_close(boosted, (1 + KAPPA) * alone, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in EVERYTHING if name not in {*REFUSED, *ELSEWHERE}])
def test_second_moments_are_those_of_coordinates_or_refused(name):
    """Gradients of very different sizes: the small ones make the mask."""
    g = torch.Generator().manual_seed(0)
    size = torch.exp(2 * torch.randn(6, 4, generator=g))
    p = nn.Parameter(torch.randn(6, 4, generator=g))
    try:
        optimizer = IRE(build(name, [p]), kappa=1, gamma=0.5, curvature="second_moment")
        for step in range(31):
            p.grad = size * torch.randn(6, 4, generator=g)
            torch.manual_seed(step)
            optimizer.step()
    except ValueError as error:
        assert "curvature='second_moment'" in str(error)
        return
    small = size <= size.flatten().kthvalue(12).values
    assert (optimizer._memory.masks[p] * small).sum() >= 9


@pytest.mark.parametrize("name", [n for n in EVERYTHING if n not in {*REFUSED, *ELSEWHERE}])
def test_a_decay_that_can_be_left_unboosted_is_lr_times_lambda(name):
    """Of weights so large that a step is all decay."""
    p = nn.Parameter(1e5 + probe(torch.float64)[0])
    base = build(name, [p])
    for group in base.param_groups:
        group |= {"weight_decay": 0.5} | {
            flag: True for flag in ("weight_decouple", "decoupled_weight_decay") if flag in group
        }
    try:
        IRE(base, kappa=1, gamma=1, boost_weight_decay=False)
    except ValueError as error:
        assert "boost_weight_decay=False needs weight decay that is decoupled" in str(error)
        assert name not in ("torch AdamW", "torch Muon", "torch RAdam", "lion", "Lookahead(AdamW)")
        return
    for step in range(4):  # at the fifth, Lookahead steps back
        before, p.grad = p.detach().clone(), probe(torch.float64)[1]
        torch.manual_seed(step)
        base.step()
        shrunk = 1 - p.detach() / before
        torch.testing.assert_close(
            shrunk, torch.full_like(shrunk, 0.5 * base.param_groups[0]["lr"]), rtol=0.02, atol=0
        )


@pytest.mark.parametrize("name", [name for name in REFUSED if name in EVERYTHING])
def test_what_cannot_be_boosted_is_refused_with_what_works(name):
    p = nn.Parameter(probe(torch.float64)[0])
    model = nn.Sequential(nn.Linear(2, 2)) if name in ("lomo", "adalomo") else [p]
    kind = (
        getattr(torch.optim, name.removeprefix("torch "))
        if name.startswith("torch ")
        else library().load_optimizer(name)
    )
    base = kind(model, **ARGUMENTS.get(name, {}))
    with pytest.raises(ValueError, match=REFUSED[name]):
        IRE(base, kappa=KAPPA, gamma=0.5)


@pytest.mark.parametrize("name, group", [("soap", {}), ("conda", {}), ("galore", {"rank": 2})])
def test_second_moments_in_another_basis_are_refused(name, group):
    p = nn.Parameter(probe(torch.float64)[0])
    base = library().load_optimizer(name)([{"params": [p]} | group])
    with pytest.raises(ValueError, match=r"second moments of .* belong to other directions"):
        IRE(base, kappa=KAPPA, gamma=0.5, curvature="second_moment")


@pytest.mark.parametrize("around", ["Lookahead", "OrthoGrad", "PCGrad", "ScheduleFreeWrapper"])
def test_a_wrapper_around_a_refused_base_is_refused(around):
    p = nn.Parameter(torch.ones(3))
    base = getattr(library(), around)(library().MADGRAD([p]))
    with pytest.raises(ValueError, match=rf"around {around} around MADGRAD, .* use IRE\(Adagrad"):
        IRE(base, kappa=1, gamma=0.5)


@pytest.mark.parametrize("name", ["AdamWScheduleFreeReference", "SGDScheduleFreeReference"])
def test_a_schedule_free_base_that_stores_x_and_y_is_boosted_in_all_three(name):
    schedulefree = pytest.importorskip("schedulefree")
    ends = []
    for kappa in (0.0, KAPPA):
        start, slope = probe(torch.float64)
        p = nn.Parameter(start.clone())
        base = getattr(schedulefree, name)([p], lr=0.01)
        base.train()
        optimizer = IRE(base, kappa=kappa, gamma=1)
        for _ in range(STEPS):
            p.grad = slope.clone()
            optimizer.step()
        in_training = p.detach() - start
        optimizer.eval()
        ends.append((in_training, p.detach() - start))
    for alone, boosted in zip(*ends, strict=True):
        torch.testing.assert_close(boosted, (1 + KAPPA) * alone)


def test_a_wrapper_that_is_no_optimizer_of_torch_is_refused_with_the_nesting():
    class Averaging:
        def __init__(self, base):
            self.param_groups = base.param_groups

        def step(self):
            """Steps the base and averages."""

    base = Averaging(torch.optim.SGD([nn.Parameter(torch.ones(3))], lr=0.1))
    with pytest.raises(TypeError, match=r"got Averaging, .* nest Averaging\(IRE\(...\)\) instead"):
        IRE(base, kappa=1, gamma=0.5)


def named(*names, **attributes):
    """An optimizer with a class of that name, whose bases have the other names."""
    kind = torch.optim.SGD
    for name in reversed(names):
        kind = type(name, (kind,), {})
    base = kind([nn.Parameter(torch.ones(3))], lr=0.1)
    vars(base).update(attributes)
    return base


@pytest.mark.parametrize(
    "base, remedy",
    [
        (named("SFAdamW", "ScheduleFree"), r"use IRE\(AdamWScheduleFree"),
        (named("MSAMLaProp"), r"use IRE\(LaProp"),
        (named("HyperBallAdamW"), r"use IRE\(AdamW"),
        (named("SAMWrapper"), r"use IRE\(ire.SAM\(base\)\)"),
        (named("FusedAdam", master_weights=True), "use fp32 parameters"),
    ],
)
def test_bases_of_packages_that_are_not_installed_here_are_refused_by_name(base, remedy):
    """Measured with heavyball 3.2: two thirds of the boost lost, or an exponential growth."""
    with pytest.raises(ValueError, match=f"cannot be put around {type(base).__name__}.*{remedy}"):
        IRE(base, kappa=1, gamma=0.5)


def test_a_subclass_of_a_refused_one_is_refused_and_without_a_boost_none_is():
    class Mine(library().MADGRAD):
        """With a schedule of its own, say."""

    class RangerAdaBelief(torch.optim.AdamW):
        """One of the family, in a package of its own."""

    p = nn.Parameter(torch.ones(3))
    with pytest.raises(ValueError, match=r"put around RangerAdaBelief, .* use Lookahead"):
        IRE(RangerAdaBelief([p]), kappa=1, gamma=0.5)
    with pytest.raises(ValueError, match="put around Mine"):
        IRE(Mine([p]), kappa=1, gamma=0.5)
    optimizer = IRE(Mine([p]), kappa=0, gamma=0.5)
    with pytest.raises(ValueError, match="put around Mine"):
        optimizer.kappa = 1
    assert optimizer.kappa == 0


@pytest.mark.parametrize("inner", [torch.optim.SGD, torch.optim.AdamW])
def test_lookahead_is_boosted_inside_as_if_nested_the_other_way_round(inner):
    """Bit for bit, through a pull to the slow weights and a refresh of the mask."""
    Lookahead, results = library().Lookahead, []
    for outside in (False, True):
        p = nn.Parameter(probe(torch.float64)[0].clone())
        settings = {"kappa": 2.0, "gamma": 0.5, "curvature": "random", "interval": 3}
        base = inner([p], lr=0.1, weight_decay=0.01)
        optimizer = IRE(Lookahead(base), **settings) if outside else Lookahead(IRE(base, **settings))
        for step in range(12):
            p.grad = torch.sin(p.detach() + step)
            optimizer.step()
        results.append(p.detach())
    assert torch.equal(*results)


def test_schedule_free_equals_the_definition():
    """z, the average x and y by hand, with the boost in z's step."""
    start, _ = probe(torch.float64)
    mask = (torch.arange(24) % 3 == 0).view(6, 4).to(torch.uint8)
    beta, lr = 0.9, 0.1
    z = x = y = start
    p = nn.Parameter(start.clone())
    optimizer = IRE(
        library().ScheduleFreeSGD([p], lr=lr, momentum=beta),
        kappa=3.0,
        gamma=0.5,
        curvature="random",
        interval=99,
    )
    optimizer._memory.masks[p], optimizer._memory.refreshed_at = mask, 0
    for t in range(1, 20):
        gradient = torch.sin(y + t)
        z = z - lr * gradient * (1 + 3.0 * mask)
        x = (1 - 1 / t) * x + z / t
        y = (1 - beta) * z + beta * x
        p.grad = torch.sin(p.detach() + t)
        optimizer.step()
        torch.testing.assert_close(p.detach(), y, rtol=1e-10, atol=1e-12)
    optimizer.eval()
    torch.testing.assert_close(p.detach(), x, rtol=1e-10, atol=1e-12)
    optimizer.train()
    torch.testing.assert_close(p.detach(), y, rtol=1e-10, atol=1e-12)


@pytest.mark.skipif(not others(), reason="an optional extra: pip install ire[optimizers]")
def test_the_tables_name_nothing_that_does_not_exist():
    assert {*REFUSED, *SINGLE_STEPS, *ELSEWHERE, *ARGUMENTS, *MUONS} <= set(EVERYTHING)
