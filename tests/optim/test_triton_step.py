"""The step in one launch against the slow twin, in Triton's interpreter where there is no GPU."""

import copy
import weakref

import pytest
import test_paths
import torch
from test_paths import BASES, adamw, run, set_gradients, sgd

from ire import IRE
from ire.optim.steps.boost import Boost
from ire.optim.steps.counters import Counters
from ire.optim.steps.launch_cache import Known
from ire.optim.steps.measured import Measured
from ire.optim.steps.native import Native
from ire.optim.steps.paths import Paths
from ire.optim.steps.triton_step import TritonStep
from ire.optim.tensors.tiles import tiles

triton = pytest.importorskip("triton")
CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    """Kernels run in Python on the CPU's memory; read when the module that has them is first imported."""
    if not CUDA:
        monkeypatch.setenv("TRITON_INTERPRET", "1")


def in_one_launch(optimizer):
    for paths in optimizer._boosted_step.of_bases:
        paths.best = lambda base, paths=paths: paths._triton


def by_measuring(optimizer):
    for paths in optimizer._boosted_step.of_bases:
        paths.best = lambda base, paths=paths: paths._measured


@pytest.fixture
def measured(monkeypatch):
    """How often a step was not taken in one launch."""
    steps = []
    plain = Measured.step
    monkeypatch.setattr(Measured, "step", lambda *arguments: (steps.append(1), plain(*arguments)))
    return steps


@pytest.fixture
def without_gaps(monkeypatch):
    """Parameters of `test_paths`, smaller and but for the one with gaps, and gradients that lie as they do."""
    plain, gradients = test_paths.parameters, test_paths.set_gradients

    def small(dtype, _):
        first, *rest = plain(dtype, False)
        return [torch.nn.Parameter(p.detach().to(DEVICE)) for p in (first[:20, :210].clone(), *rest)]

    monkeypatch.setattr(test_paths, "parameters", small)
    monkeypatch.setattr(test_paths, "set_gradients", lambda ps, step, same_strides: gradients(ps, step))


@pytest.mark.parametrize("name", BASES)
def test_equals_the_slow_twin(name, without_gaps, measured):
    difference, optimizer = run(BASES[name], in_one_launch, torch.float32, groups=True)
    assert optimizer.path == "triton"
    assert difference < 1e-6
    has_state = name not in ("sgd", "sgd decay")
    assert len(measured) == has_state  # the step that makes it


@pytest.mark.parametrize("name", ["adamw", "adamw fused"])
def test_leaves_weight_decay_alone_when_asked(name, without_gaps, measured):
    assert run(BASES[name], in_one_launch, torch.float32, True, {"boost_weight_decay": False})[0] < 1e-6
    assert len(measured) == 1


def test_a_parameter_with_gaps_in_memory_is_measured(measured):
    assert run(BASES["sgd decay"], in_one_launch, torch.float32)[0] < 1e-6
    assert len(measured) == 6


@pytest.mark.parametrize("build", [adamw, lambda ps: sgd(ps, momentum=0.9, weight_decay=0.2)])
@torch.no_grad()
def test_in_bfloat16_a_step_is_the_native_one_to_a_unit_in_the_last_place(build):
    """Not closer: Triton's interpreter cuts off where a GPU rounds."""
    ends = []
    for kind in (TritonStep, Native):
        torch.manual_seed(0)
        p = torch.nn.Parameter(torch.randn(70, 65).bfloat16())
        base = build([p])
        for _ in range(2):
            p.grad = torch.randn(70, 65).bfloat16()
            base.step()
        mask = (torch.rand(70, 65) < 0.6).to(torch.uint8)
        if kind is TritonStep:  # from the very same start, there
            gradient, p.grad = p.grad.to(DEVICE), None
            p.data, mask = p.data.to(DEVICE), mask.to(DEVICE)
            p.grad = gradient
            base.state[p] |= {k: v.to(DEVICE) for k, v in base.state[p].items() if k != "step"}
        kind(base_rule(base)).step(base, [Boost(p, mask, 3.0)])
        ends.append([p, *(t for name, t in base.state[p].items() if name != "step")])
    for ours, native in zip(*ends, strict=True):
        assert ours.dtype == torch.bfloat16
        torch.testing.assert_close(ours.cpu(), native, rtol=2**-7, atol=2**-9)


def test_full_and_partial_blocks_aligned_or_not_are_all_stepped():
    from ire.optim.steps.triton_kernels import BLOCK

    memory = torch.zeros(3 * BLOCK + 8, device=DEVICE)
    for p in (memory[: 2 * BLOCK + 5], memory[1 : BLOCK + 1], memory[3:10]):
        parameter = torch.nn.Parameter(p.clone().as_strided(p.shape, p.stride()))
        parameter.data = p
        base = torch.optim.SGD([parameter], lr=1.0)
        parameter.grad = torch.arange(len(p), dtype=torch.float32, device=DEVICE)
        memory.zero_()
        TritonStep(base_rule(base)).step(base, [])
        torch.testing.assert_close(p, -parameter.grad)
        assert memory.count_nonzero() == len(p) - 1


def base_rule(base):
    return Paths(base, compile=False, boost_weight_decay=True)._rule


def test_the_state_stays_the_bases_own_counters_included():
    optimizers = []
    for make_path in (in_one_launch, by_measuring):
        torch.manual_seed(0)
        ps = [torch.nn.Parameter(torch.randn(9, 3, device=DEVICE))]
        optimizer = IRE(adamw(ps), kappa=3, gamma=0.6, curvature="random", interval=100)
        make_path(optimizer)
        for step in range(3):
            set_gradients(ps, step)
            optimizer.step()
        optimizers.append((optimizer, ps[0]))
    (ours, p), (plain, q) = optimizers
    assert ours.base.state[p]["step"] == plain.base.state[q]["step"] == 3
    for name in ("exp_avg", "exp_avg_sq"):
        torch.testing.assert_close(ours.base.state[p][name], plain.base.state[q][name])


def test_counters_are_read_once_and_again_only_if_somebody_else_has_touched_them(monkeypatch):
    reads = []
    monkeypatch.setattr(torch.Tensor, "__float__", lambda t: (reads.append(t), t.item())[1])
    states = [{"step": torch.tensor(4.0)}, {"step": torch.tensor(7.0)}, {}]
    counters = Counters(states)

    def counts():
        counters.look()
        return [counters[i] for i in range(3)]

    assert counts() == [4, 7, 0] and len(reads) == 2
    counters.add_one()
    assert counts() == [5, 8, 0] and len(reads) == 2
    states[1]["step"] += 1  # the base took a step
    assert counts() == [5, 9, 0] and len(reads) == 3
    counters.add_one()
    assert counts() == [6, 10, 0] and len(reads) == 3
    assert states[0]["step"] == 6


def test_a_state_that_was_loaded_or_a_parameter_that_moved_is_noticed():
    ends = []
    for make_path in (in_one_launch, by_measuring):
        torch.manual_seed(0)
        p = torch.nn.Parameter(torch.randn(9, 3, device=DEVICE))
        optimizer = IRE(adamw([p]), kappa=3, gamma=0.6, curvature="random", interval=100)
        make_path(optimizer)
        for step in range(6):
            set_gradients([p], step)
            optimizer.step()
            if step == 1:
                saved = copy.deepcopy(optimizer.state_dict())
            elif step == 3:
                optimizer.load_state_dict(saved)
            elif step == 4:
                p.data = p.data.clone()
        ends.append((p.detach(), optimizer.base.state[p]["step"].item()))
    torch.testing.assert_close(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1] == 4


def after_steps(number):
    p = torch.nn.Parameter(torch.randn(9, 3, device=DEVICE))
    optimizer = IRE(adamw([p]), kappa=3, gamma=0.6, curvature="random", interval=100)
    in_one_launch(optimizer)
    for step in range(number):
        set_gradients([p], step)
        optimizer.step()
    return p, optimizer


def test_no_gradient_is_kept_alive_behind_a_step():
    p, optimizer = after_steps(3)
    gone = weakref.ref(p.grad)
    optimizer.zero_grad()
    assert gone() is None


def test_autograd_notices_that_a_step_has_written_parameters_and_state():
    p, optimizer = after_steps(2)
    state = optimizer.base.state[p]
    written = p, state["exp_avg"], state["exp_avg_sq"]
    before = [t._version for t in written]
    loss = (p * p).sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    assert [t._version for t in written] == [version + 1 for version in before]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_parameters_on_devices_of_two_kinds_are_measured():
    ps = [torch.nn.Parameter(torch.ones(3, device=device)) for device in (DEVICE, "meta")]
    base = torch.optim.SGD(ps, lr=0.1)
    for p in ps:
        p.grad = torch.ones_like(p)
    assert not Known(base_rule(base), base).fits
    ps[1].grad = None
    assert Known(base_rule(base), base).fits


@pytest.mark.parametrize("changed", ["kappa", "mask", "gradient", "sign", "memory", "lr", "group"])
def test_what_changes_between_two_steps_is_noticed(changed):
    """All that a step keeps from the last one, changed once each: as in a step that keeps nothing."""
    ends = []
    for make_path in (in_one_launch, by_measuring):
        torch.manual_seed(0)
        ps = [torch.nn.Parameter(torch.randn(*shape, device=DEVICE)) for shape in ((1, 1), (9, 3), (9, 3))]
        optimizer = IRE(adamw(ps[:2]), kappa=3, gamma=0.6, curvature="random", interval=3)
        make_path(optimizer)
        for step in range(8):
            set_gradients(ps, step)
            if changed == "kappa":
                optimizer.param_groups[0]["kappa"] = 3 if step < 4 else 1
            elif changed == "gradient" and step == 4:
                ps[0].grad = None
            elif changed == "sign" and step % 3 == 1:
                ps[0].grad = torch._neg_view(ps[0].grad)
            elif changed == "memory" and step == 4:
                optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
            elif changed == "lr":
                optimizer.param_groups[0]["lr"] = 0.01 / (step + 1)
            elif changed == "group" and step == 4:
                optimizer.add_param_group({"params": [ps[2]], "lr": 0.03})
            optimizer.step()
        ends.append([p.detach().clone() for p in ps])
    torch.testing.assert_close(*ends)


def test_a_mask_that_does_not_lie_as_its_parameter_is_the_new_one_after_a_refresh(monkeypatch):
    """As with cuDNN, whose gradients may be in channels-last format where the weight is not."""
    monkeypatch.setattr("ire.optim.mask.flattest.ranked_here", list)
    if not CUDA:  # the interpreter takes each element of a block by itself
        monkeypatch.setattr("ire.optim.mask.triton_kernels.BLOCK", 64)
    ends = []
    for make_path in (in_one_launch, by_measuring):
        p = torch.nn.Parameter(torch.ones(4, 6, 3, 3, device=DEVICE))
        optimizer = IRE(adamw([p]), kappa=3, gamma=0.5, interval=2)
        make_path(optimizer)
        for step in range(6):
            if optimizer.curvature_due:
                set_gradients([p], 10 + step)
                p.grad = p.grad.contiguous(memory_format=torch.channels_last)
                optimizer.update_mask()
            set_gradients([p], step)
            optimizer.step()
            optimizer.zero_grad()
        ends.append(p.detach())
    torch.testing.assert_close(*ends)


def test_tensors_are_cut_into_blocks_in_order():
    found = tiles((5, 0, 8, 9), 4, torch.device("cpu"))
    assert found.owners.tolist() == [0, 0, 2, 2, 3, 3, 3]
    assert found.starts.tolist() == [0, 1, 0, 1, 0, 1, 2]


def test_a_cpu_never_gets_it():
    optimizer = IRE(adamw([torch.nn.Parameter(torch.ones(3))]), kappa=1, gamma=0.5, curvature="random")
    assert optimizer.path == "native"


@pytest.mark.skipif(not CUDA, reason="needs a GPU")
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_on_a_gpu_a_step_waits_for_nothing_and_can_be_captured(kind):
    ps = [torch.nn.Parameter(torch.randn(300, 41, device="cuda", dtype=kind)) for _ in range(3)]
    optimizer = IRE(adamw(ps, fused=True), kappa=3, gamma=0.6, curvature="random", interval=10**6)
    for step in range(3):
        for p in ps:
            p.grad = torch.randn_like(p)
        if step == 2:
            torch.cuda.set_sync_debug_mode("error")
        try:
            optimizer.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert optimizer.path == "triton"
    (launch,) = optimizer._boosted_step.of_bases[0]._triton._launches.values()
    before, graph = [p.detach().clone() for p in ps], torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        launch.launch(optimizer.param_groups[0])
    assert all(torch.equal(p, was) for p, was in zip(ps, before, strict=True))
    graph.replay()
    assert not any(torch.equal(p, was) for p, was in zip(ps, before, strict=True))
