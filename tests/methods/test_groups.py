"""What goes into which group, and what is made of it."""

import copy
import logging

import pytest
import torch
from torch import nn

from ire.invalid_input import InvalidInput
from ire.methods.method import parse_method
from search_spaces import find_space
from trainables.task import load_task
from trainables.training.groups import block, grouped, kinds, options
from trainables.training.optimizers import build_optimizer, set_learning_rates
from trainables.training.training import Training


def settings(name: str, **given) -> dict:
    method = parse_method(name)
    return method.resolve(find_space("stdlib-lm").published(method) | given)


def built(name: str, model: nn.Module, **given):
    method, chosen = parse_method(name), settings(name, **given)
    optimizer = build_optimizer(method, chosen, model, horizon=10, seed=0)
    set_learning_rates(optimizer, method, chosen, 0.5)
    return optimizer, {id(p): group for group in optimizer.param_groups for p in group["params"]}


def test_the_kinds_of_a_language_models_parameters():
    model = load_task("stdlib-lm").model()
    of = kinds(model)
    assert (of["tokens.weight"], of["head.weight"]) == ("embeddings", "heads")
    assert of["blocks.0.linear1.weight"] == "matrices"
    assert of["blocks.0.norm1.weight"] == of["blocks.0.linear1.bias"] == "vectors"


def test_a_head_that_shares_the_embedding_is_one_and_convolutions_are_kernels():
    model = nn.Sequential(nn.Embedding(5, 3), nn.Conv1d(3, 3, 3), nn.Linear(3, 5, bias=False))
    model[2].weight = model[0].weight
    assert kinds(model) == {"0.weight": "embeddings", "1.weight": "kernels", "1.bias": "vectors"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.layers.0.self_attn.q_proj.weight", "qk"),
        ("model.layers.0.self_attn.k_proj.weight", "qk"),
        ("model.layers.0.self_attn.v_proj.weight", "vo"),
        ("model.layers.0.self_attn.o_proj.weight", "vo"),
        ("blocks.0.self_attn.out_proj.weight", "vo"),
        ("blocks.0.self_attn.in_proj_weight", "vo"),
        ("model.layers.0.mlp.gate_proj.weight", "ffn"),
        ("blocks.0.linear1.weight", "ffn"),
        ("model.layers.0.input_layernorm.weight", "norm"),
        ("encoder.layers.encoder_layer_0.ln_1.weight", "norm"),
        ("bias", "other"),
    ],
)
def test_the_blocks_of_a_transformer_by_name(name, expected):
    assert block(name, "vectors" if "norm" in name else "matrices") == expected


def test_decay_of_matrices_leaves_biases_and_norms_alone():
    model = load_task("stdlib-lm").model()
    _, group = built("adamw", model, decay="matrices")
    decays = {name: group[id(p)]["weight_decay"] for name, p in model.named_parameters()}
    assert {decays[name] for name, p in model.named_parameters() if p.ndim < 2} == {0.0}
    assert {decays[name] for name, p in model.named_parameters() if p.ndim >= 2} == {0.1}


def test_without_an_option_there_is_one_group_with_nothing_of_ours_in_it():
    model = load_task("digits").model()
    optimizer, _ = built("sgd", model)
    assert [set(group) for group in optimizer.param_groups] == [
        set(group)
        for group in torch.optim.SGD(model.parameters(), lr=1, momentum=0.9, fused=True).param_groups
    ]


def test_muon_takes_hidden_matrices_at_its_rate_and_adamw_the_rest_at_another():
    model = load_task("stdlib-lm").model()
    optimizer, group = built("muon", model, lr=0.02, rest_lr=0.003)
    of = kinds(model)
    rates = {name: group[id(p)]["lr"] for name, p in model.named_parameters()}
    assert {rates[name] for name in rates if of[name] == "matrices"} == {0.5 * 0.02}
    assert {rates[name] for name in rates if of[name] != "matrices"} == {0.5 * 0.003}
    assert [type(base).__name__ for base in optimizer.bases] == ["Muon", "AdamW"]


def test_neighbouring_groups_that_an_optimizer_treats_alike_are_one_for_it():
    optimizer, _ = built("muon", load_task("stdlib-lm").model())
    assert [len(group["params"]) for group in optimizer.param_groups] == [8, 21]
    optimizer, _ = built("muon", load_task("stdlib-lm").model(), decay="matrices")
    assert [len(group["params"]) for group in optimizer.param_groups] == [
        8,
        2,
        18,
        1,
    ]  # in the order of the model


@pytest.mark.parametrize("name", ["muon", "muon-ire"])
def test_a_checkpoint_with_groups_that_are_one_now_continues_bitwise(name, make_spec, monkeypatch):
    """Checkpoints of versions before 0.3 hold embeddings, vectors and heads of Muon's AdamW apart."""
    spec = make_spec(name, task="stdlib-lm", horizon=6, eval_interval=3)
    task, cpu = load_task("stdlib-lm"), torch.device("cpu")

    def apart(groups, settings, rate):
        return [made for group in groups for made in options([group], settings, rate)]

    with monkeypatch.context() as older:
        older.setattr("trainables.training.optimizers.options", apart)
        training = Training(task, spec, device=cpu)
    assert len(training.optimizer.param_groups) == 4
    for _ in range(3):
        training.advance()
    training.report()
    state = copy.deepcopy(training.state_dict())
    now = Training(task, spec, device=cpu)
    assert len(now.optimizer.param_groups) == 2
    now.load_state_dict(state)
    for trial in (training, now):
        while trial.step < spec.horizon:
            trial.advance()
    for a, b in zip(training.model.parameters(), now.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_blockwise_learning_rates_are_multiples_of_one():
    model = load_task("stdlib-lm").model()
    _, group = built("blockwise-adamw", model, lr=1e-3)
    rates = {name: group[id(p)]["lr"] / 0.5e-3 for name, p in model.named_parameters()}
    assert rates["tokens.weight"] == pytest.approx(10)
    assert rates["blocks.1.linear2.weight"] == pytest.approx(6)
    assert rates["blocks.1.norm1.weight"] == rates["head.weight"] == pytest.approx(1)


def test_kappa_that_follows_the_rate_follows_that_of_each_group():
    model = load_task("stdlib-lm").model()
    optimizer, _ = built("muon-ire", model, lr=0.02, rest_lr=0.003, kappa_follows_lr=True)
    peaks = {group.get("lr_max", optimizer.settings.lr_max) for group in optimizer.param_groups}
    assert peaks == {0.02, 0.003}


def test_a_model_without_what_the_optimizer_takes_is_refused():
    with pytest.raises(InvalidInput, match=r"muon trains only matrices, and the model has none.*try 'adamw'"):
        grouped(parse_method("muon"), settings("muon"), nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(2, 2)))


def test_what_went_into_which_group_is_logged_once_a_trial(make_spec, caplog):
    with caplog.at_level(logging.INFO, logger="trainables"):
        training = Training(load_task("digits"), make_spec("adamw"), device=torch.device("cpu"))
        training.advance()
    assert [r.getMessage() for r in caplog.records if "all: 8 tensors" in r.getMessage()] == [
        "trial: all: 8 tensors, 9,978 numbers "
        "(0.weight, 1.weight, 1.bias, 3.weight, 4.weight, 4.bias, 7.weight, 7.bias)"
    ]


def test_cautious_adamw_is_adamw_on_the_coordinates_where_step_and_gradient_agree():
    draws = torch.Generator().manual_seed(0)
    p = nn.Parameter(torch.randn(50, generator=draws, dtype=torch.float64))
    w, m, v = p.detach().clone(), torch.zeros(50).double(), torch.zeros(50).double()
    method = parse_method("cautious-adamw")
    chosen = settings("cautious-adamw", lr=0.01, weight_decay=0.1, beta1=0.9, beta2=0.98)
    optimizer = method.base.load()([p], **method.base.keywords(chosen))
    for step in range(1, 6):
        g = torch.randn(50, generator=draws, dtype=torch.float64)
        p.grad = g.clone()
        optimizer.step()
        m, v = 0.9 * m + 0.1 * g, 0.98 * v + 0.02 * g * g
        u = (m / (1 - 0.9**step)) / ((v / (1 - 0.98**step)).sqrt() + 1e-8)
        mask = (u * g > 0).double()
        scale = len(mask) / (mask.sum() + 1)  # Liang et al. 2024, Algorithm 2
        w = w * (1 - 0.01 * 0.1) - 0.01 * u * mask * scale
    assert torch.allclose(p.detach(), w, rtol=1e-5, atol=1e-7)
