"""κ and γ by name, by block and by step, and what `diagnostics` says of the mask they give."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ire import IRE, Source, sampled_nll
from ire.optim.wrapping.choices import block_of


class Stack(nn.Module):
    """Names as language models have them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Linear(5, 8, bias=False)
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = self.embed(x)
        for layer in self.layers:
            x = x + torch.tanh(layer(x))
        return self.head(self.norm(x))


def wrap(model, named=True, **settings):
    named_parameters = list(model.named_parameters())
    base = torch.optim.AdamW(named_parameters if named else [p for _, p in named_parameters], lr=0.01)
    return IRE(base, **{"kappa": 2, "gamma": 0.5, "interval": 1} | settings)


def batch(step):
    g = torch.Generator().manual_seed(step)
    return torch.randn(8, 5, generator=g), torch.randint(0, 4, (8,), generator=g)


def train(model, optimizer, first, last):
    for step in range(first, last):
        inputs, labels = batch(step)
        if optimizer.curvature_due:
            sampled_nll(model(inputs), generator=torch.Generator().manual_seed(step)).backward()
            optimizer.update_mask()
        cross_entropy(model(inputs), labels).backward()
        optimizer.step()
        optimizer.zero_grad()


def ones(optimizer, *parameters):
    return sum(int(optimizer._memory.masks[p].sum()) for p in parameters)


@pytest.mark.parametrize(
    "by_name",
    [
        {"embed*": {"kappa": 0}, "norm*": {"kappa": 0}},
        lambda name: {"kappa": 0} if name.startswith(("embed", "norm")) else None,
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_never_embeddings_and_norms(by_name, named):
    model = Stack()
    names = {} if named else {"named_parameters": model.named_parameters()}
    optimizer = wrap(model, named, by_name=by_name, **names)
    train(model, optimizer, 0, 2)
    boosted = {*model.layers.parameters(), *model.head.parameters()}
    assert set(optimizer.flat_fractions()) == boosted
    assert ones(optimizer, *boosted) == math.floor(0.5 * sum(p.numel() for p in boosted))


def test_a_name_comes_before_its_group_and_the_first_pattern_before_the_next():
    model = Stack()
    groups = [
        {"params": list(model.embed.named_parameters("embed")), "kappa": 5.0},
        {"params": list(model.layers.named_parameters("layers")), "gamma": 1},
    ]
    patterns = {"layers.1.bias": {"kappa": 7}, "layers.1.*": {"kappa": 6}, "embed.*": {"gamma": 0.25}}
    optimizer = IRE(torch.optim.SGD(groups, lr=0.1), kappa=1, gamma=0.5, by_name=patterns, curvature="random")
    for p in optimizer.parameters():
        p.grad = torch.ones_like(p)
    before = [p.detach().clone() for p in model.layers.parameters()]
    optimizer.step()
    went = [float((p.detach() - old).abs().max()) for p, old in zip(model.layers.parameters(), before)]  # noqa: B905
    assert went == pytest.approx([0.2, 0.2, 0.7, 0.8, 0.2, 0.2])
    assert ones(optimizer, model.embed.weight) == 10 and optimizer.kappa_in_force == 7


def test_what_has_its_own_gamma_by_name_is_ranked_by_itself():
    model = Stack()
    optimizer = wrap(model, by_name={"layers.*": {"gamma": 0.75}})
    train(model, optimizer, 0, 1)
    layers = list(model.layers.parameters())
    rest = [p for p in model.parameters() if all(p is not q for q in layers)]
    for some, gamma in ((layers, 0.75), (rest, 0.5)):
        assert ones(optimizer, *some) == math.floor(gamma * sum(p.numel() for p in some))


@pytest.mark.parametrize(
    "ranked_by, sets",
    [
        ("model", lambda m: [list(m.parameters())]),
        ("tensor", lambda m: [[p] for p in m.parameters()]),
        ("block", lambda m: [list(it.parameters()) for it in (m.embed, *m.layers, m.norm, m.head)]),
        (
            lambda name: name.endswith("bias"),
            lambda m: [
                [p for name, p in m.named_parameters() if name.endswith("bias") == bias] for bias in (0, 1)
            ],
        ),
    ],
)
def test_the_share_is_exact_in_each_part_that_is_ranked(ranked_by, sets):
    model = Stack()
    optimizer = wrap(model, ranked_by=ranked_by)
    train(model, optimizer, 0, 1)
    for parameters in sets(model):
        assert ones(optimizer, *parameters) == math.floor(0.5 * sum(p.numel() for p in parameters))


def test_kappa_as_a_function_of_the_step():
    model, seen, due = Stack(), [], []
    schedule = [0.0, 0.0, 1.0, 2.5, 0.0]
    optimizer = wrap(model, kappa=lambda step: schedule[step], gamma=0.5)
    for step in range(5):
        due.append(optimizer.curvature_due)
        train(model, optimizer, step, step + 1)
        seen.append(optimizer.kappa_in_force)
    assert seen == schedule and due == [False, False, True, True, False]


def test_a_schedule_of_kappa_goes_with_a_start_that_is_a_float():
    """0.1 * steps, say; the schedule is still asked with whole numbers."""
    model = Stack()
    optimizer = wrap(model, kappa=[0.0, 0.0, 1.0, 2.0].__getitem__, start=2.0)
    train(model, optimizer, 0, 4)
    assert optimizer.kappa_in_force == 2.0


def test_a_kappa_of_zero_by_schedule_is_the_base_bitwise():
    model, plain = Stack(), Stack()
    optimizer, base = wrap(model, kappa=lambda step: 0.0), torch.optim.AdamW(plain.parameters(), lr=0.01)
    for step in range(4):
        for m, o in ((model, optimizer), (plain, base)):
            inputs, labels = batch(step)
            cross_entropy(m(inputs), labels).backward()
            o.step()
            o.zero_grad()
    assert all(map(torch.equal, model.parameters(), plain.parameters()))


def test_one_step_with_different_kappas_is_right():
    model = Stack()
    optimizer = wrap(model, gamma=1, by_name={"head.*": {"kappa": 3}, "norm.*": {"kappa": 0}})
    train(model, optimizer, 0, 1)
    twin, copied = copy.deepcopy((model, optimizer))
    start = copy.deepcopy(model)
    train(model, optimizer, 1, 2)
    train(twin, copied.base and IRE(copied.base, kappa=0, gamma=1), 1, 2)
    for (name, p), q, old in zip(
        model.named_parameters(), twin.parameters(), start.parameters(), strict=True
    ):
        factor = {"head": 4, "norm": 1}.get(name.split(".")[0], 3)
        torch.testing.assert_close(p - old, factor * (q - old), rtol=1e-4, atol=1e-6)


def test_resumes_with_names():
    ends = []
    for interrupted in (False, True):
        model = Stack()
        optimizer = wrap(model, by_name={"embed*": {"kappa": 0}}, ranked_by="block", interval=3)
        train(model, optimizer, 0, 4)
        if interrupted:
            state = copy.deepcopy(optimizer.state_dict())
            optimizer = wrap(model, by_name={"embed*": {"kappa": 0}}, ranked_by="block", interval=3)
            optimizer.load_state_dict(state)
        train(model, optimizer, 4, 8)
        ends.append([p.detach() for p in model.parameters()])
    assert all(map(torch.equal, *ends))


@pytest.mark.parametrize(
    "settings, message",
    [
        (
            {"by_name": {"embedding*": {"kappa": 0}}},
            "no parameter has a name like 'embedding[*]'; the names are embed",
        ),
        ({"by_name": {"embed*": {"kapa": 0}}}, "sets kapa; allowed are kappa, gamma, lr_max"),
        ({"by_name": {"embed*": {"kappa": -1}}}, "kappa must be finite and >= 0, got -1"),
        ({"by_name": lambda name: {"gamma": 0}}, "gamma must be in"),
    ],
)
def test_a_mistake_in_a_name_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        wrap(Stack(), **settings)


def test_parameters_that_join_later_are_looked_up_too():
    model = Stack()
    base = torch.optim.SGD(list(model.layers.named_parameters("layers")), lr=0.1)
    optimizer = IRE(base, kappa=1, gamma=1, by_name=lambda name: {"kappa": 0} if "head" in name else {})
    optimizer.add_param_group({"params": list(model.head.named_parameters("head"))})
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    before = model.head.bias.detach().clone()
    optimizer.step()
    torch.testing.assert_close(before - model.head.bias.detach(), torch.full((4,), 0.1))


# Diagnostics


def fixed(*rankings):
    """A source that ranks one vector of ten by these scores, one after the other."""
    left = list(rankings)
    return Source(scores=lambda parameters, refresh: [torch.tensor(left.pop(0))], gradients=False)


def test_the_overlap_of_successive_masks():
    first, second = [1.0, 2, 3, 4, 5, 6, 7, 8, 0, 0], [1.0, 2, 9, 9, 9, 1, 1, 1, 0, 9]
    p = nn.Parameter(torch.zeros(10))
    optimizer = IRE(
        torch.optim.SGD([p], lr=0.1), kappa=1, gamma=0.4, interval=1, curvature=fixed(first, second)
    )
    seen = []
    for _ in range(2):
        p.grad = torch.ones(10)
        optimizer.step()
        seen.append(optimizer.diagnostics())
    assert (seen[0]["overlap"], seen[0]["overlap_beyond_chance"], seen[0]["zero_curvature"]) == (
        None,
        None,
        0.2,
    )
    # {8, 9, 0, 1}, then {8, 0, 5, 6}: two of four stay
    assert seen[1]["overlap"] == 0.5 and seen[1]["zero_curvature"] == 0.1
    assert seen[1]["overlap_beyond_chance"] == pytest.approx((0.5 - 0.4) / 0.6)
    assert seen[1]["by_tensor"] == {"0": 0.4} and seen[1]["refreshes"] == 2


def test_random_masks_overlap_by_chance_and_equal_ones_wholly():
    for curvature, expected in (("random", 0.0), ("empirical", 1.0)):
        p = nn.Parameter(torch.zeros(200_000))
        optimizer = IRE(torch.optim.SGD([p], lr=0.1), kappa=1, gamma=0.6, interval=1, curvature=curvature)
        for _ in range(2):
            p.grad = torch.linspace(-1, 2, 200_000)
            optimizer.step()
        assert optimizer.diagnostics()["overlap_beyond_chance"] == pytest.approx(expected, abs=0.01)


def test_shares_carry_names_and_everything_is_resumed():
    model = Stack()
    optimizer = wrap(model)
    train(model, optimizer, 0, 3)
    seen = optimizer.diagnostics()
    assert set(seen["by_tensor"]) == {name for name, _ in model.named_parameters()}
    assert 0 <= seen["overlap"] <= 1 and seen["flat_fraction"] == pytest.approx(0.5, abs=0.01)
    fresh = wrap(model)
    fresh.load_state_dict(optimizer.state_dict())
    assert fresh.diagnostics() | {"kappa_in_force": 2} == seen


@pytest.mark.parametrize(
    "name, block",
    [
        ("layers.3.attn.q.weight", "layers.3"),
        ("module.h.11.mlp.0.bias", "module.h.11"),
        ("3.attn.weight", "3"),
        ("0.weight", "0"),
        ("layer1.0.conv1.weight", "layer1.0"),
        ("embed.tokens.weight", "embed.tokens"),
        ("scale", ""),
    ],
)
def test_a_block_is_named_up_to_its_first_number(name, block):
    assert block_of(name) == block


def test_each_tensor_is_ranked_for_itself_without_names():
    ps = [torch.nn.Parameter(torch.ones(4)) for _ in range(2)]
    optimizer = IRE(torch.optim.SGD(ps, lr=0.1), kappa=1, gamma=0.5, ranked_by="tensor")
    for scale, p in enumerate(ps, start=1):
        p.grad = scale * torch.arange(4.0)
    optimizer.update_mask()
    assert list(optimizer.flat_fractions().values()) == [0.5, 0.5]
