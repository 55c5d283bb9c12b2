"""The mask: how many, which, and what happens when there is nothing sensible to rank."""

import math

import pytest
import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.placement_types import _StridedShard
from torch.testing._internal.distributed.fake_pg import FakeStore

from ire import IRE, SAM
from ire.optim.curvature.sources import Source
from ire.optim.mask.flattest import flattest
from ire.optim.mask.selection import SAMPLE_STRIDE
from ire.optim.tensors.shards import part_number, workers_of


def scores_of(case: str) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(3)
    shapes = [(40, 30), (0,), (), (300,), (3, 5, 7)]
    values = [torch.randn(s, generator=g) for s in shapes]
    if case == "mostly zero":
        values = [v * (torch.rand(v.shape, generator=g) < 0.04) for v in values]
    elif case == "all equal":
        values = [torch.full_like(v, -0.25) for v in values]
    elif case == "huge range":
        values = [v.sign() * 10 ** (30 * v.clamp(-1.2, 1.2)) for v in values]
    elif case == "tiny":
        values = [v * 1e-41 for v in values]
    elif case == "mixed precision":
        values[0], values[3] = values[0].bfloat16(), values[3].double()
    elif case == "strided":
        values[0] = torch.randn(30, 80, generator=g).t()[::2]
        values[4] = torch.randn(3, 7, 5, generator=g).transpose(1, 2)
    elif case in ("float16", "bfloat16", "float64"):
        values = [v.to(getattr(torch, case)) for v in values]
    return values


CASES = [
    "plain",
    "mostly zero",
    "all equal",
    "huge range",
    "tiny",
    "mixed precision",
    "strided",
    "float16",
    "bfloat16",
    "float64",
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("gamma", [0.0, 0.001, 0.5, 0.6, 0.97, 1.0])
def test_marks_exactly_the_smallest(case, gamma):
    scores = scores_of(case)
    total = sum(s.numel() for s in scores)
    count = math.floor(gamma * total)
    masks = flattest(scores, count)
    assert [m.shape for m in masks] == [s.shape for s in scores]
    chosen = torch.cat([m.reshape(-1) for m in masks]).bool()
    values = torch.cat([s.reshape(-1).double().abs() for s in scores])
    assert int(chosen.sum()) == count
    if 0 < count < total:
        assert values[chosen].max() <= values[~chosen].min()


def test_breaks_ties_in_the_order_of_parameters():
    masks = flattest([torch.tensor([1.0, 0, 0, 2]), torch.zeros(4)], 3)
    assert [m.tolist() for m in masks] == [[0, 1, 1, 0], [1, 0, 0, 0]]


@pytest.mark.parametrize("size", [(1 << 16) - 1, 1 << 16, 3 * (1 << 16) + 17])
def test_does_not_depend_on_the_blocks(size):
    g = torch.Generator().manual_seed(0)
    values = torch.randint(0, 50, (size,), generator=g).float()
    [mask] = flattest([values], size // 3)
    expected = torch.zeros(size, dtype=torch.uint8)
    expected[values.argsort(stable=True)[: size // 3]] = 1
    assert torch.equal(mask, expected)


LARGE = {
    "normal": lambda g, n: torch.randn(n, generator=g),
    "a heavy tie at the threshold": lambda g, n: (torch.rand(n, generator=g) - 0.7).clamp(min=0),
    "a heavy tie beside it": lambda g, n: (torch.rand(n, generator=g) - 0.5).clamp(min=0),
    "a few values": lambda g, n: torch.randint(0, 9, (n,), generator=g).float(),
    "two values near each other": lambda g, n: 1 + torch.randint(0, 2, (n,), generator=g) * 2.0**-20,
    "sorted": lambda g, n: torch.randn(n, generator=g).sort().values,
    "a sample that misleads": lambda g, n: torch.randn(n, generator=g).index_fill_(
        0, torch.arange(0, n, SAMPLE_STRIDE), 5.0
    ),
    "a sample that hides many": lambda g, n: torch.where(
        torch.arange(n) % SAMPLE_STRIDE == 0, torch.randn(n, generator=g), 0.253 + 1e-4 * torch.rand(n)
    ),
}


@pytest.mark.parametrize("case", LARGE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("gamma", [1e-6, 0.2, 0.6, 1.0])
def test_marks_exactly_the_smallest_of_many(case, dtype, gamma):
    """More than are sorted out without a sample: whether it helps or misleads, the mask is the same."""
    g = torch.Generator().manual_seed(5)
    values = LARGE[case](g, 300_000).to(dtype)
    count = math.floor(gamma * values.numel())
    masks = flattest([values[:299_600].view(-1, 7), values[299_600:299_601], values[299_601:]], count)
    expected = torch.zeros(values.shape, dtype=torch.uint8)
    expected[values.abs().argsort(stable=True)[:count]] = 1
    assert torch.equal(torch.cat([m.view(-1) for m in masks]), expected)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("gamma", [0.3, 1.0])
@pytest.mark.parametrize("place", [0, 61, 350_001])
def test_refuses_to_rank_many_if_one_is_not_finite(bad, gamma, place):
    values = torch.randn(400_000, generator=torch.Generator().manual_seed(0))
    old = torch.full(values.shape, 7, dtype=torch.uint8)
    values[place] = bad
    assert flattest([values], math.floor(gamma * values.numel()), into=[old]) is None
    assert bool((old == 7).all())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_refuses_to_rank_what_is_not_finite(bad, dtype):
    values = torch.ones(100, dtype=dtype)
    values[57] = bad
    assert flattest([torch.zeros(3), values], 50) is None


def give_curvature(model, value=None, seed=0):
    g = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        p.grad = torch.randn(p.shape, generator=g, dtype=p.dtype)
        if value is not None:
            p.grad.view(-1)[0] = value


def mask_of(optimizer):
    return {p: mask.clone() for p, mask in optimizer._memory.masks.items()}


def test_curvature_that_is_not_finite_keeps_the_old_mask(make_model):
    model = make_model()
    optimizer = IRE(torch.optim.SGD(model.parameters(), lr=0.1), kappa=1, gamma=0.5, interval=1)
    give_curvature(model)
    optimizer.update_mask()
    optimizer.step()
    before = mask_of(optimizer)
    give_curvature(model, float("nan"), seed=1)
    optimizer.update_mask()
    assert optimizer.skipped_refreshes == 1 and not optimizer.curvature_due
    assert all(torch.equal(before[p], mask) for p, mask in mask_of(optimizer).items())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("second", ["unknown", "sparse"])
def test_a_refresh_that_cannot_rank_one_set_leaves_the_masks_of_all(second):
    """Sets with their own gamma are ranked one by one, but masks are overwritten only when all can be."""
    a, b = (torch.nn.Parameter(torch.randn(40)) for _ in range(2))
    answers = [[torch.randn(40)], [torch.randn(40)], [torch.randn(40)]]
    answers.append(None if second == "unknown" else [torch.randn(40).to_sparse()])
    source = Source(scores=lambda parameters, refresh: answers.pop(0))
    groups = [{"params": [a], "gamma": 0.5}, {"params": [b]}]
    optimizer = IRE(torch.optim.SGD(groups, lr=0.1), kappa=1, gamma=0.5, curvature=source, interval=1)
    for refresh in range(2):
        a.grad, b.grad = torch.ones(40), torch.ones(40)
        if refresh == 0 or second == "unknown":
            optimizer.step()
        else:
            with pytest.raises(ValueError, match="sparse"):
                optimizer.step()
        if refresh == 0:
            before = mask_of(optimizer)
    assert all(torch.equal(before[p], mask) for p, mask in mask_of(optimizer).items())
    assert optimizer._memory.refreshes == 1


def test_curvature_that_is_not_finite_at_the_start_boosts_nothing(make_model, vector):
    model, plain = make_model(), make_model()
    optimizer = IRE(torch.optim.SGD(model.parameters(), lr=0.1), kappa=1, gamma=0.5)
    give_curvature(model, float("inf"))
    optimizer.update_mask()
    give_curvature(model)
    give_curvature(plain)
    optimizer.step()
    torch.optim.SGD(plain.parameters(), lr=0.1).step()
    assert torch.equal(vector(model), vector(plain)) and optimizer.flat_fraction == 0


def test_counts_only_parameters_with_curvature(make_model):
    model = make_model()
    frozen, unused, *others = model.parameters()
    frozen.requires_grad_(False)
    optimizer = IRE(torch.optim.SGD(model.parameters(), lr=0.1), kappa=1, gamma=0.3)
    give_curvature(model)
    frozen.grad = unused.grad = None
    optimizer.update_mask()
    fractions = optimizer.flat_fractions()
    assert set(fractions) == set(others)
    ranked = sum(p.numel() for p in others)
    ones = sum(round(fraction * p.numel()) for p, fraction in fractions.items())
    assert ones == math.floor(0.3 * ranked)
    assert optimizer.flat_fraction == pytest.approx(ones / ranked)


def test_sharpest_is_the_mask_inverted(make_model):
    masks = []
    for curvature in ("sampled", "sharpest"):
        model = make_model()
        optimizer = IRE(torch.optim.SGD(model.parameters(), lr=0.1), kappa=1, gamma=0.7, curvature=curvature)
        give_curvature(model)
        optimizer.update_mask()
        masks.append(list(mask_of(optimizer).values()))
    assert all(torch.equal(a, 1 - b) for a, b in zip(*masks, strict=True))


def test_random_masks_are_a_function_of_seed_and_refresh(make_model):
    def masks(seed):
        model = make_model()
        optimizer = IRE(
            torch.optim.SGD(model.parameters(), lr=0.1),
            kappa=1,
            gamma=0.7,
            interval=2,
            curvature="random",
            seed=seed,
        )
        drawn = []
        for step in range(4):
            torch.manual_seed(step * seed)  # the global generator has no say
            assert not optimizer.curvature_due
            give_curvature(model)
            optimizer.step()
            drawn.append(torch.cat([m.reshape(-1) for m in mask_of(optimizer).values()]))
        return drawn

    first, again, other = masks(1), masks(1), masks(2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert torch.equal(first[0], first[1]) and not torch.equal(first[1], first[2])
    assert not torch.equal(first[0], other[0])
    assert all(int(m.sum()) == math.floor(0.7 * m.numel()) for m in first + other)


def test_random_masks_of_groups_with_their_own_gamma_differ():
    ps = [torch.nn.Parameter(torch.zeros(1000)) for _ in range(3)]
    groups = [{"params": [ps[0]]}, *({"params": [p], "gamma": 0.5} for p in ps[1:])]
    optimizer = IRE(torch.optim.SGD(groups, lr=0.1), kappa=1, gamma=0.5, curvature="random")
    for p in ps:
        p.grad = torch.ones_like(p)
    optimizer.step()
    masks = [optimizer._memory.masks[p].double() for p in ps]
    assert [int(mask.sum()) for mask in masks] == [500] * 3
    correlations = torch.corrcoef(torch.stack(masks)).triu(1).abs()
    assert correlations.max() < 5 / math.sqrt(1000)


def test_groups_have_their_own_kappa_and_gamma(make_model, vector):
    model = make_model()
    a, b, c, d = model.parameters()
    groups = [{"params": [a], "kappa": 0}, {"params": [b, c]}, {"params": [d], "gamma": 0.5, "kappa": 9}]
    optimizer = IRE(torch.optim.SGD(groups, lr=0.1), kappa=1, gamma=0.4)
    give_curvature(model)
    optimizer.update_mask()
    fractions = optimizer.flat_fractions()
    assert set(fractions) == {b, c, d} and fractions[d] == 0.5
    ones = round(fractions[b] * b.numel()) + round(fractions[c] * c.numel())
    assert ones == math.floor(0.4 * (b.numel() + c.numel()))
    give_curvature(model, seed=1)
    before, masks = [p.detach().clone() for p in (a, b, c, d)], mask_of(optimizer)
    optimizer.step()
    assert optimizer.kappa_in_force == 9
    for p, old, factor in zip((a, b, c, d), before, (0, 1, 1, 9), strict=True):
        torch.testing.assert_close(
            p.detach(), old - 0.1 * p.grad * (1 + factor * masks.get(p, torch.zeros(())))
        )


class Namesakes(torch.optim.SGD):
    """Options of its own that are called as IRE's are, as MARS and schedule-free optimizers have them."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, lr)
        for name, value in {"kappa": 7.0, "gamma": 0.025, "lr_max": -1.0}.items():
            self.defaults[name] = value
            for group in self.param_groups:
                group[name] = value


@pytest.mark.parametrize("around", [lambda base: base, SAM])
def test_options_of_the_base_are_not_taken_for_those_of_a_group(around, make_model):
    model = make_model()
    base = around(Namesakes(model.parameters(), lr=0.1))
    optimizer = IRE(base, kappa=2, gamma=0.5, curvature="random")
    give_curvature(model)
    optimizer.step(lambda: torch.zeros(()))
    assert optimizer.kappa_in_force == 2
    count = sum(p.numel() for p in model.parameters())
    assert optimizer.flat_fraction == math.floor(0.5 * count) / count


def test_refreshes_every_interval_from_start_on(make_model):
    model = make_model()
    optimizer = IRE(torch.optim.SGD(model.parameters(), lr=0.1), kappa=1, gamma=0.5, interval=3, start=2)
    due = []
    for _ in range(9):
        due.append(optimizer.curvature_due)
        if optimizer.curvature_due:
            give_curvature(model)
            optimizer.update_mask()
        give_curvature(model)
        optimizer.step()
        optimizer.zero_grad()
    assert due == [False, False, True, False, False, True, False, False, True]


@pytest.fixture(params=range(4))
def worker(request):
    """The number of one of four workers, in a process group that sends nothing."""
    torch.distributed.init_process_group("fake", store=FakeStore(), rank=request.param, world_size=4)
    yield request.param
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    "placements, looked_at",
    [
        ([Shard(0), Shard(1)], [2, 1]),
        ([_StridedShard(0, split_factor=2), Shard(0)], [2, 1]),  # FSDP2 around tensor parallelism
        ([Replicate(), Shard(0)], [0, 1]),
        ([Shard(0), Replicate()], [2, 0]),
    ],
)
def test_each_part_is_counted_by_one_worker(placements, looked_at, worker):
    mesh = init_device_mesh("cpu", (2, 2))
    part = DTensor.from_local(torch.ones(2, 4), mesh, placements, run_check=False)
    first = sum(size * place for size, place in zip(looked_at, divmod(worker, 2), strict=True))
    assert part_number(part) == first
    assert workers_of([part]).counted([part]) == [first == worker]


def test_masks_follow_channels_last_weights(make_model):
    torch.manual_seed(0)
    model = torch.nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last)
    optimizer = IRE(torch.optim.SGD(model.parameters(), lr=0.1), kappa=2, gamma=0.5)
    old = model.weight.detach().clone()
    curvature = torch.randn(model.weight.shape)  # contiguous, unlike the weight
    model.weight.grad = curvature.clone()
    optimizer.update_mask()
    model.weight.grad = torch.ones_like(model.weight)
    optimizer.step()
    boosted = curvature.abs() <= curvature.abs().flatten().kthvalue(curvature.numel() // 2).values
    torch.testing.assert_close(model.weight.detach(), old - 0.1 * (1 + 2 * boosted))
