"""The fast ways of stepping against a slow twin that boosts by the definition, in float64."""

import copy
import pickle

import pytest
import torch

from ire import IRE, SAM
from ire.optim.steps.native import Native

KAPPA = 3.0


class SlowTwin:
    """IRE by its definition: a copy before, the base's step, the boosted difference after."""

    def __init__(self, base, masks, boost_weight_decay=True):
        self.base, self.masks, self.boost_weight_decay = base, masks, boost_weight_decay

    def step(self):
        before = [[p.detach().clone() for p in group["params"]] for group in self.base.param_groups]
        self.base.step()
        masks = iter(self.masks)
        for group, olds in zip(self.base.param_groups, before, strict=True):
            for p, old in zip(group["params"], olds, strict=True):
                mask, moved = next(masks), p.detach() - old
                if p.grad is None:
                    continue
                if not self.boost_weight_decay:
                    moved += group["lr"] * group["weight_decay"] * old
                p.data += group.get("kappa", KAPPA) * mask * moved


def adam(ps, **kw):
    return torch.optim.Adam(ps, lr=0.01, weight_decay=0.1, **kw)


def adamw(ps, **kw):
    return torch.optim.AdamW(ps, lr=0.01, betas=(0.8, 0.95), weight_decay=0.3, eps=1e-6, **kw)


def sgd(ps, **kw):
    return torch.optim.SGD(ps, lr=0.01, **kw)


BASES = {
    "adamw": adamw,
    "adamw without decay": lambda ps: torch.optim.AdamW(ps, lr=0.01, weight_decay=0),
    "adamw foreach": lambda ps: adamw(ps, foreach=True),
    "adamw fused": lambda ps: adamw(ps, fused=True),
    "adam": adam,
    "sgd": sgd,
    "sgd decay": lambda ps: sgd(ps, weight_decay=0.2),
    "sgd momentum": lambda ps: sgd(ps, momentum=0.9, weight_decay=0.2),
    "sgd dampening": lambda ps: sgd(ps, momentum=0.9, dampening=0.3, fused=True),
    "sgd nesterov": lambda ps: sgd(ps, momentum=0.9, nesterov=True, weight_decay=0.2),
}
OTHERS = {
    "adamw amsgrad": lambda ps: adamw(ps, amsgrad=True),
    "adamw maximize": lambda ps: adamw(ps, maximize=True),
    "rmsprop": lambda ps: torch.optim.RMSprop(ps, lr=0.01),
}


def parameters(dtype, gaps):
    """Shapes with more than a block, one element, none, channels-last strides, and gaps in memory."""
    g = torch.Generator().manual_seed(0)
    ps = [torch.randn(s, generator=g).to(dtype) for s in [(300, 350), (), (0, 3), (7,), (11, 13)]]
    ps.append(torch.randn(6, 4, 3, 3, generator=g).to(dtype).contiguous(memory_format=torch.channels_last))
    if gaps:
        ps.append(torch.randn(10, 8, generator=g).to(dtype)[:, ::2].detach())
    return [torch.nn.Parameter(p) for p in ps]


def set_gradients(ps, step, same_strides=True):
    g = torch.Generator().manual_seed(100 + step)
    for i, p in enumerate(ps):
        if i == 4 and step % 2:
            p.grad = None
        else:
            gradient = torch.randn(p.shape, generator=g).to(p.dtype)
            p.grad = torch.empty_like(p).copy_(gradient) if same_strides else gradient


def run(build, make_path, dtype, groups=False, settings=None, steps=6):
    """How far the fast way ends from its twin in float64, see `distance`; and its optimizer."""
    fused = build(parameters(torch.float64, False)).defaults.get("fused")
    gaps = not fused  # torch's fused kernels do not look at strides
    fast, slow = parameters(dtype, gaps), parameters(torch.float64, gaps)

    def grouped(ps):
        return [{"params": ps[:3]}, {"params": ps[3:], "kappa": 0.5, "lr": 0.02}] if groups else ps

    optimizer = IRE(
        build(grouped(fast)), kappa=KAPPA, gamma=0.6, curvature="random", interval=100, **settings or {}
    )
    make_path(optimizer)
    for step in range(steps):
        set_gradients(fast, step, same_strides=not gaps)
        for a, b in zip(fast, slow, strict=True):
            b.grad = None if a.grad is None else torch.empty_like(b).copy_(a.grad)
        optimizer.step()
        if step == 0:
            masks = [optimizer._memory.masks[p].double() for p in fast]
            keep = (settings or {}).get("boost_weight_decay", True)
            twin = SlowTwin(build(grouped(slow)), masks, keep)
        twin.step()
    return distance(fast, slow, steps), optimizer


def distance(fast, slow, steps):
    """The larger of two: all parameters, ‖a − b‖ / ‖b‖; the worst coordinate per step, |a − b| / max(|b|, 1).

    The second is per step, for each one rounds: the base to half a unit in the last place of θ, 6e-8 |θ|, once
    or twice, which the boost takes 1 + κ times when it measures the displacement. With κ = 3 that alone may be
    5e-7 a step, for any implementation that lets the base write θ first.
    """
    a, b = (torch.cat([p.detach().double().reshape(-1) for p in ps]) for ps in (fast, slow))
    off = (a - b).abs()
    return max((off.norm() / b.norm()).item(), (off / b.abs().clamp(min=1)).max().item() / steps)


def chosen(optimizer):
    pass


def hooked(optimizer):
    optimizer.base.register_step_post_hook(lambda *_: None)


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("make_path, path", [(chosen, "native"), (hooked, "rebuilt")])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-14), (torch.float32, 1e-6)])
@pytest.mark.parametrize("groups", [False, True])
def test_equals_the_slow_twin(name, make_path, path, dtype, tolerance, groups):
    difference, optimizer = run(BASES[name], make_path, dtype, groups)
    assert optimizer.path == path
    assert difference < tolerance


NESTEROV = {"momentum": 0.9, "nesterov": True}


@pytest.mark.parametrize(
    "options, path",
    [
        ({"foreach": True}, "measured"),
        ({"foreach": True, "weight_decay": 0.2}, "rebuilt"),
        ({"foreach": False}, "rebuilt"),
        ({"fused": True}, "rebuilt"),
        ({}, "measured"),  # on an accelerator torch's default is foreach
    ],
)
@pytest.mark.parametrize("groups", [False, True])
def test_a_base_that_may_overwrite_gradients_is_measured(options, path, groups):
    difference, optimizer = run(lambda ps: sgd(ps, **NESTEROV, **options), hooked, torch.float64, groups)
    assert optimizer.path == path
    assert difference < 1e-14


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-14), (torch.float32, 1e-6)])
def test_measures_what_it_does_not_know(name, dtype, tolerance):
    difference, optimizer = run(OTHERS[name], chosen, dtype)
    assert optimizer.path == "measured"
    assert difference < tolerance


@pytest.mark.parametrize("make_path", [chosen, hooked])
@pytest.mark.parametrize("decay", [1.0, 1.2, 0.6, 2.0])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_where_the_decay_takes_all_the_weights(kind, decay, make_path):
    """At lr · weight_decay = 1 the end of the step does not tell where it began."""
    [p] = [torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64))]
    [q] = [torch.nn.Parameter(p.detach().clone())]
    optimizer, twin = (kind([it], lr=1.0, weight_decay=decay) for it in (p, q))
    optimizer = IRE(optimizer, kappa=1, gamma=1)
    make_path(optimizer)
    for step in range(3):
        before = q.detach().clone()
        p.grad = q.grad = torch.full((3,), 1.0 + step, dtype=torch.float64)
        optimizer.step()
        twin.step()
        q.data += q.data - before
        torch.testing.assert_close(p.detach(), q.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make_path", [chosen, hooked])
@pytest.mark.parametrize("name", ["adamw", "adamw fused"])
def test_leaves_weight_decay_alone_when_asked(name, make_path):
    assert run(BASES[name], make_path, torch.float64, True, {"boost_weight_decay": False})[0] < 1e-14


def test_leaves_weight_decay_alone_around_an_unknown_base():
    def radam(ps):
        return torch.optim.RAdam(ps, lr=0.01, weight_decay=0.3, decoupled_weight_decay=True)

    assert run(radam, chosen, torch.float64, True, {"boost_weight_decay": False})[0] < 1e-14


COMPILED = [
    ("adamw", chosen, "native"),
    ("sgd momentum", chosen, "native"),
    ("sgd nesterov", chosen, "native"),
    ("adamw", hooked, "rebuilt"),
    ("adam", hooked, "rebuilt"),
    ("sgd", hooked, "rebuilt"),
    ("sgd decay", hooked, "rebuilt"),
    ("sgd nesterov", hooked, "rebuilt"),
    ("rmsprop", chosen, "measured"),
]


@pytest.mark.slow
@pytest.mark.parametrize("name, make_path, path", COMPILED)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-14), (torch.float32, 1e-6)])
def test_the_compiled_graphs_equal_the_slow_twin(name, make_path, path, dtype, tolerance):
    difference, optimizer = run((BASES | OTHERS)[name], make_path, dtype, True, {"compile": True})
    assert optimizer.path == path
    assert difference < tolerance


@pytest.mark.slow
def test_the_compiled_boost_leaves_weight_decay_alone_around_an_unknown_base():
    settings = {"compile": True, "boost_weight_decay": False}
    assert run(OTHERS["adamw amsgrad"], chosen, torch.float64, True, settings)[0] < 1e-14


@pytest.mark.slow
@pytest.mark.parametrize("name, make_path", [("adamw", chosen), ("adamw", hooked), ("rmsprop", chosen)])
def test_no_graph_is_compiled_again_when_numbers_change(name, make_path):
    ps = [torch.nn.Parameter(torch.randn(size)) for size in (1000, 30)]
    base = (BASES | OTHERS)[name]([{"params": [p]} for p in ps])
    optimizer = IRE(base, kappa=1, gamma=0.5, curvature="random", interval=1, compile=True)
    make_path(optimizer)
    for p in ps:
        p.grad = torch.randn_like(p)
    for _ in range(2):
        optimizer.step()
    with torch.compiler.set_stance("fail_on_recompile"):
        for step in range(5):
            for i, group in enumerate(optimizer.param_groups):
                group.update(lr=1e-3 * step + 1e-4, kappa=0.5 + step * (i + 1), weight_decay=0.1 + step)
            optimizer.step()


@pytest.mark.parametrize("make_path", [chosen, hooked])
@pytest.mark.parametrize("name", ["adamw", "sgd momentum"])
def test_half_precision_is_computed_in_single(name, make_path):
    """From the bfloat16 state, one boosted step is the float32 step rounded once or twice."""
    ps = [torch.nn.Parameter(torch.randn(500, generator=torch.Generator().manual_seed(1)).bfloat16())]
    optimizer = IRE(BASES[name](ps), kappa=KAPPA, gamma=1)
    make_path(optimizer)
    for step in range(2):
        set_gradients(ps, step)
        optimizer.step()
    wide = [torch.nn.Parameter(ps[0].detach().float())]
    twin = SlowTwin(BASES[name](wide), [1.0])
    state = {k: v.float().clone() for k, v in optimizer.base.state[ps[0]].items()}
    twin.base.state[wide[0]].update(state)
    set_gradients(ps, 3)
    wide[0].grad = ps[0].grad.float()
    optimizer.step()
    twin.step()
    error = (ps[0].float() - wide[0]).abs() / wide[0].abs().clamp(min=0.1)
    assert error.max() < (2**-7 if make_path is chosen else 2**-6)  # the base's own step rounds too


@pytest.mark.parametrize("make_path", [chosen, hooked])
@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_rate_of_zero_moves_nothing(name, make_path, dtype):
    """The first step of a warm-up, and the last of a decay."""
    [p] = ps = [torch.nn.Parameter(torch.ones(20, dtype=dtype))]
    optimizer = IRE(BASES[name](ps), kappa=2, gamma=0.5, curvature="random")
    make_path(optimizer)
    for lr in (0.01, 0.0):
        before = p.detach().clone()
        optimizer.param_groups[0]["lr"] = lr
        p.grad = torch.ones_like(p)
        optimizer.step()
    assert torch.equal(p, before)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adamw", "sgd momentum"])
def test_a_rate_of_zero_moves_nothing_compiled(name):
    [p] = ps = [torch.nn.Parameter(torch.ones(20))]
    optimizer = IRE(BASES[name](ps), kappa=2, gamma=0.5, curvature="random", compile=True)
    for lr in (0.01, 0.01, 0.0):
        before = p.detach().clone()
        optimizer.param_groups[0]["lr"] = lr
        p.grad = torch.ones_like(p)
        optimizer.step()
    assert torch.equal(p, before)


def test_buffers_in_another_memory_order_than_their_parameter():
    """As a checkpoint of a model in another memory format brings them."""
    results = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        g = torch.Generator().manual_seed(0)
        p = torch.nn.Parameter(torch.randn(4, 3, 5, 5, generator=g, dtype=torch.float64))
        base = adamw([p])
        optimizer = IRE(base, kappa=2, gamma=0.5, curvature="empirical")
        for _ in range(3):
            p.grad = torch.randn(p.shape, generator=g, dtype=p.dtype)
            optimizer.step()
            for name in ("exp_avg", "exp_avg_sq"):
                base.state[p][name] = base.state[p][name].contiguous(memory_format=memory_format)
        results.append(p.detach())
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("name", ["adamw", "sgd momentum"])
@pytest.mark.parametrize("is_hooked", [False, True])
def test_a_gradient_that_holds_its_sign_flipped_is_read_as_torch_reads_it(name, is_hooked):
    """As that of a single number behind a conjugate."""
    ends = []
    for flipped in (torch.neg, torch._neg_view):
        p = torch.nn.Parameter(torch.ones(3))
        optimizer = IRE(BASES[name]([p]), kappa=1, gamma=0.5, interval=1)
        if is_hooked:
            optimizer.base.register_step_post_hook(lambda *_: None)
        for _ in range(3):
            p.grad = flipped(torch.tensor([1.0, 2.0, 3.0]))
            optimizer.update_mask()
            p.grad = flipped(torch.tensor([3.0, 2.0, 1.0]))
            optimizer.step()
            optimizer.zero_grad()
        ends.append(p.detach().clone())
    assert torch.equal(*ends)


def test_a_scheduler_or_hook_on_the_base_still_sees_its_steps():
    [p] = ps = [torch.nn.Parameter(torch.randn(5))]
    base = torch.optim.AdamW(ps)
    optimizer = IRE(base, kappa=1, gamma=1)
    p.grad = torch.ones_like(p)
    optimizer.step()
    assert optimizer.path == "native"
    schedule = torch.optim.lr_scheduler.ExponentialLR(base, 0.5)
    assert optimizer.path == "rebuilt"
    optimizer.step()
    schedule.step()  # warns if the base has taken no step


def test_sam_uses_the_native_path_of_its_base():
    ps = [torch.nn.Parameter(torch.randn(5))]
    assert IRE(SAM(torch.optim.AdamW(ps)), kappa=1, gamma=1).path == "native"


def test_state_in_another_dtype_than_its_parameter():
    """As some checkpoints bring it: fused kernels would misread it."""
    p = torch.nn.Parameter(torch.ones(20))
    base = torch.optim.SGD([p], lr=0.1, momentum=0.5)
    optimizer = IRE(base, kappa=1, gamma=1)
    for _ in range(2):
        p.grad = torch.ones_like(p)
        optimizer.step()
        base.state[p]["momentum_buffer"] = base.state[p]["momentum_buffer"].double()
    assert optimizer.path == "native"
    torch.testing.assert_close(p.detach(), torch.full((20,), 1 - 0.2 * (1 + 1.5)))


def test_copies_of_an_optimizer_take_neither_graphs_nor_scratch_along():
    ps = [torch.nn.Parameter(torch.randn(50))]
    optimizer = IRE(OTHERS["rmsprop"](ps), kappa=2, gamma=0.5, curvature="random", compile=True)
    optimizer = pickle.loads(pickle.dumps(copy.deepcopy(optimizer)))
    assert optimizer.path == "measured" and not optimizer._boosted_step.of_bases[0]._measured._copies


def test_a_parameter_may_change_its_size_dtype_or_memory_between_steps():
    """The scratch of one step is that of the next only if it fits."""
    p = torch.nn.Parameter(torch.randn(50))
    optimizer = IRE(torch.optim.RMSprop([p], lr=0.1, weight_decay=1), kappa=1, gamma=1)
    for value in (torch.ones(50), torch.ones(7), torch.ones(7, dtype=torch.float64)):
        p.data = value.clone()
        optimizer.base.state.clear()
        p.grad = torch.zeros_like(p)
        optimizer.step()
        torch.testing.assert_close(p.detach(), value - 2 * 0.1 * 10)


def test_no_parameter_storage_is_replaced():
    """DDP buckets, CUDA graphs and flattened models hold pointers to it."""
    for build in (adamw, OTHERS["rmsprop"]):
        [p] = ps = [torch.nn.Parameter(torch.randn(70_000))]
        optimizer, pointer = IRE(build(ps), kappa=1, gamma=0.5, curvature="random"), p.data_ptr()
        for _ in range(3):
            p.grad = torch.randn_like(p)
            optimizer.step()
        assert p.data_ptr() == pointer


def test_native_needs_no_state_before_the_first_step():
    [p] = ps = [torch.nn.Parameter(torch.ones(4))]
    base = torch.optim.AdamW(ps, lr=0.1, weight_decay=0)
    p.grad = torch.ones_like(p)
    optimizer = IRE(base, kappa=1, gamma=1)
    optimizer.step()
    assert isinstance(optimizer._boosted_step.of_bases[0].best(base), Native)
    torch.testing.assert_close(p.detach(), torch.full((4,), 0.8))
