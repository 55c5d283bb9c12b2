"""Every mistake is refused with its value, the range and the remedy, and changes nothing."""

import pytest
import torch

from ire import IRE, SAM, Source, sampled_nll

NAN = float("nan")
NAMED = [("p", torch.nn.Parameter(torch.ones(3)))]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"kappa": -1}, "kappa must be finite and >= 0, got -1"),
        ({"kappa": NAN}, "kappa must be finite and >= 0, got nan"),
        ({"kappa": float("inf")}, "got inf"),
        ({"gamma": 0}, r"gamma must be in \(0, 1\], got 0"),
        ({"gamma": 1.01}, "got 1.01"),
        ({"gamma": NAN}, "got nan"),
        ({"interval": 0}, "interval must be a whole number of steps >= 1, got 0"),
        ({"start": -1}, "start must be a whole number of steps >= 0, got -1"),
        ({"interval": 2.5}, "whole number .* got 2.5"),
        ({"interval": float("inf")}, "whole number .* got inf"),
        ({"start": 0.1}, "whole number .* got 0.1"),
        ({"kappa": "3"}, "kappa must be a number, got '3'"),
        ({"gamma": None}, "gamma must be a number, got None"),
        ({"ema": 1}, r"ema must be in \[0, 1\), got 1"),
        ({"lr_max": 0}, "lr_max must be finite and > 0, got 0"),
        ({"curvature": "hessian"}, "must be one of sampled, .*, got 'hessian'"),
        ({"curvature": ["sampled"]}, r"must be one of sampled, .*, got \['sampled'\]"),
        ({"curvature": "sharpest", "gamma": 1}, "would boost nothing; choose gamma < 1"),
        ({"seed": None}, "seed must be a whole number, got None"),
        ({"seed": 1.5}, "seed must be a whole number, got 1.5"),
        ({"seed": True}, "seed must be a whole number, got True"),
        ({"compile": "no"}, "compile must be True or False, got 'no'"),
        ({"compile": 1}, "compile must be True or False, got 1"),
        ({"boost_weight_decay": "false"}, "boost_weight_decay must be True or False, got 'false'"),
        ({"pack_masks": None}, "pack_masks must be True or False, got None"),
        ({"kappa": lambda step: -1.0}, "finite numbers >= 0, got -1.0 at step 0"),
        ({"kappa": lambda step: "2"}, "finite numbers >= 0, got '2' at step 0"),
        ({"ranked_by": "layer"}, "one of model, block, tensor, .* got 'layer'"),
        ({"by_name": {"*": {"kappa": 0}}}, "need the names of the parameters"),
        ({"ranked_by": "block"}, "need the names of the parameters"),
        ({"ranked_by": ["block"]}, r"one of model, block, tensor, .* got \['block'\]"),
        ({"by_name": "*norm*"}, r"by_name must be a dict of settings by pattern, .* got '\*norm\*'"),
        ({"by_name": [("*", {})]}, "by_name must be a dict"),
        (
            {"by_name": {"*": 0}, "named_parameters": NAMED},
            r"by_name\['\*'\] must be a dict of settings, .* got 0",
        ),
        (
            {"by_name": lambda name: 2, "named_parameters": NAMED},
            r"by_name\('p'\) must be a dict of settings",
        ),
        (
            {"ranked_by": "block", "named_parameters": torch.nn.Linear(1, 1).named_parameters()},
            "the given names are those of other parameters",
        ),
        ({"named_parameters": torch.nn.Linear(1, 1)}, "pairs of a name and a parameter, .* got Linear"),
        ({"named_parameters": [torch.ones(3)]}, "pairs of a name and a parameter, .* got list"),
    ],
)
def test_a_bad_setting_is_named(settings, message):
    base = torch.optim.SGD([NAMED[0][1]], lr=0.1)
    with pytest.raises(ValueError, match=message):
        IRE(base, **{"kappa": 1, "gamma": 0.5} | settings)


@pytest.mark.parametrize(
    "group", [{"kappa": -2}, {"gamma": 0}, {"lr_max": -1}, {"kappa": "2"}, {"gama": 0.5}]
)
def test_a_bad_group_is_named(group, make_model):
    a, *rest = make_model().parameters()
    with pytest.raises(ValueError, match=r"must be|did you mean gamma"):
        IRE(torch.optim.SGD([{"params": [a]} | group], lr=0.1), kappa=1, gamma=0.5)
    optimizer = IRE(torch.optim.SGD([a], lr=0.1), kappa=1, gamma=0.5)
    with pytest.raises(ValueError, match=r"must be|did you mean gamma"):
        optimizer.add_param_group({"params": rest} | group)
    assert len(optimizer.param_groups) == 1


COMPLEX = torch.nn.Parameter(torch.randn(3, dtype=torch.complex64))


@pytest.mark.parametrize(
    "group, message",
    [
        ({"params": [COMPLEX]}, "cannot rank complex parameters"),
        ({"params": iter([COMPLEX])}, "cannot rank complex parameters"),
        ({"params": COMPLEX}, "cannot rank complex parameters"),
        ({"decoupled_weight_decay": False, "weight_decay": 0.1}, "needs weight decay that is decoupled"),
        ({"differentiable": True}, "cannot be differentiated through"),
    ],
)
def test_a_group_where_the_maths_does_not_fit_is_refused_when_it_is_added(group, message, make_model):
    a, *rest = make_model().parameters()
    optimizer = IRE(torch.optim.Adam([a], lr=0.1), kappa=1, gamma=0.5, boost_weight_decay=False)
    with pytest.raises(ValueError, match=message):
        optimizer.add_param_group({"params": rest} | group)
    assert len(optimizer.param_groups) == 1


def test_a_class_of_torch_under_the_name_of_one_with_another_decay_is_itself(make_model):
    class RAdam(torch.optim.RAdam): ...

    base = RAdam(make_model().parameters(), weight_decay=0.1, decoupled_weight_decay=True)
    IRE(base, kappa=1, gamma=0.5, boost_weight_decay=False)


def test_a_group_that_is_left_out_may_be_complex(make_model):
    optimizer = IRE(torch.optim.SGD(make_model().parameters(), lr=0.1), kappa=1, gamma=0.5)
    optimizer.add_param_group({"params": [("phase", COMPLEX)], "kappa": 0} | {"params": [COMPLEX]})
    assert len(optimizer.param_groups) == 2


def test_a_complex_parameter_is_left_out_by_name_or_refused():
    names = [("phase", COMPLEX), ("p", torch.nn.Parameter(torch.ones(3)))]
    optimizer = IRE(torch.optim.SGD(names, lr=0.1), kappa=1, gamma=0.5, by_name={"phase": {"kappa": 0}})
    for _, p in names:
        p.grad = torch.ones_like(p)
    optimizer.update_mask()
    assert set(optimizer.flat_fractions()) == {names[1][1]}
    with pytest.raises(ValueError, match="cannot rank complex parameters"):
        IRE(torch.optim.SGD(names, lr=0.1), kappa=1, gamma=0.5, by_name={"p": {"kappa": 0}})


def test_flat_pieces_of_parameters_are_refused_where_they_would_be_ranked():
    piece = torch.nn.Parameter(torch.ones(3))
    piece._fsdp_flattened = True  # as FullyShardedDataParallel does
    base = torch.optim.SGD([("p", piece)], lr=0.1)
    IRE(base, kappa=1, gamma=1)
    IRE(base, kappa=0, gamma=0.5)
    for by_name in (None, {"p": {"gamma": 0.5}}):
        with pytest.raises(ValueError, match="Use fully_shard"):
            IRE(base, kappa=1, gamma=0.5, by_name=by_name)


def test_a_parameter_that_a_group_holds_twice_is_refused(recwarn):
    p = torch.nn.Parameter(torch.ones(3))
    with pytest.raises(ValueError, match="a group holds a parameter twice, as tied weights"):
        IRE(torch.optim.SGD([p, p], lr=0.1), kappa=1, gamma=0.5)


def test_lr_max_around_a_base_without_lr_is_refused():
    base = torch.optim.SGD([torch.nn.Parameter(torch.ones(3))], lr=0.1)
    base.param_groups[0]["rate"] = base.param_groups[0].pop("lr")
    with pytest.raises(ValueError, match="the groups of SGD have none; use lr_max=None"):
        IRE(base, kappa=1, gamma=1, lr_max=0.1)


def test_a_schedule_of_kappa_in_a_group_is_refused_with_what_works():
    group = {"params": [torch.nn.Parameter(torch.ones(3))], "kappa": lambda step: 1.0}
    with pytest.raises(ValueError, match=r"kappa of a group must be a number, .* by_name="):
        IRE(torch.optim.SGD([group], lr=0.1), kappa=1, gamma=0.5)


def test_a_block_that_is_no_key_is_refused():
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = IRE(torch.optim.SGD([("p", p)], lr=0.1), kappa=1, gamma=0.5, ranked_by=lambda name: [name])
    with pytest.raises(ValueError, match=r"must give a hashable value, .* got \['p'\] for 'p'"):
        optimizer.curvature_due  # noqa: B018


def test_a_differentiable_base_is_refused(make_model):
    base = torch.optim.SGD(make_model().parameters(), lr=0.1, differentiable=True)
    with pytest.raises(ValueError, match="cannot be differentiated through"):
        IRE(base, kappa=1, gamma=0.5)


class Searching(torch.optim.SGD):
    def step(self, closure):
        """A line search, say."""


@pytest.mark.parametrize("build", [torch.optim.LBFGS, lambda ps: Searching(ps, lr=0.1)])
@pytest.mark.parametrize(
    "wrap", [SAM, lambda base: IRE(base, kappa=1, gamma=0.5), lambda base: IRE(SAM(base), kappa=1, gamma=0.5)]
)
def test_a_base_that_evaluates_the_closure_itself_is_refused(build, wrap, make_model):
    with pytest.raises(ValueError, match="evaluates its closure by itself"):
        wrap(build(make_model().parameters()))


@pytest.mark.parametrize("wrap", [SAM, lambda base: IRE(base, kappa=1, gamma=1)])
@pytest.mark.parametrize("between", [lambda it: it, lambda it: [it]])
def test_a_second_ire_is_refused(wrap, between, make_model):
    once = IRE(torch.optim.SGD(make_model().parameters(), lr=0.1), kappa=1, gamma=1)
    with pytest.raises(ValueError, match=r"boost twice|IRE\(SAM\(base\), ...\)"):
        wrap(between(once))


@pytest.mark.parametrize("wrap", [SAM, lambda base: IRE(base, kappa=1, gamma=1)])
@pytest.mark.parametrize("between", [lambda it: SAM(it), lambda it: [it]])
def test_sam_that_would_never_get_the_closure_is_refused(wrap, between, make_model):
    once = SAM(torch.optim.SGD(make_model().parameters(), lr=0.1))
    with pytest.raises(ValueError, match=r"SAM around SAM|belongs directly inside IRE"):
        wrap(between(once))


def test_rho_is_checked_when_it_is_set_too_and_refused_where_it_has_no_effect(make_model):
    sam = SAM(torch.optim.SGD(make_model().parameters(), lr=0.1))
    with pytest.raises(ValueError, match="rho must be finite and >= 0, got -1"):
        sam.rho = -1
    sam.rho = 0.5
    assert sam.rho == 0.5
    groups = [{"params": list(make_model().parameters()), "rho": 0.1}]
    with pytest.raises(ValueError, match=r"a group has rho=0\.1, which has no effect"):
        SAM(torch.optim.SGD(groups, lr=0.1))
    assert SAM(torch.optim.Adadelta(make_model().parameters())).rho == 0.05


def test_the_base_must_be_an_optimizer(make_model):
    with pytest.raises(TypeError, match="got Sequential; build it first"):
        IRE(make_model(), kappa=1, gamma=0.5)


@pytest.mark.parametrize("base", [torch.optim.LBFGS, torch.optim.SparseAdam])
def test_a_base_where_the_maths_does_not_fit_is_refused(base, make_model):
    with pytest.raises(ValueError, match="IRE cannot"):
        IRE(base(make_model().parameters()), kappa=1, gamma=0.5)


def test_a_step_with_the_mask_due_is_refused_and_changes_nothing(make_model, train, vector):
    model = make_model()
    optimizer = IRE(torch.optim.SGD(model.parameters(), lr=0.1), kappa=1, gamma=0.5)
    before = vector(model)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    with pytest.raises(ValueError, match="the mask is due at step 0"):
        optimizer.step()
    assert torch.equal(vector(model), before) and optimizer.steps == 0


def test_update_mask_without_gradients_is_refused(make_model):
    optimizer = IRE(torch.optim.SGD(make_model().parameters(), lr=0.1), kappa=1, gamma=0.5)
    with pytest.raises(ValueError, match="found no gradients"):
        optimizer.update_mask()


@pytest.mark.parametrize(
    "loss, message",
    [
        (lambda logits: 3.0, "needs a scalar loss with a graph, .* got float"),
        (lambda logits: logits, r"got a tensor of shape \(8, 4\)$"),
        (lambda logits: logits.sum().detach(), r"got a tensor of shape \(\) without a graph"),
        (
            lambda logits: torch.ones(3, requires_grad=True).sum(),
            "depends on none of the optimizer's parameters",
        ),
    ],
)
def test_a_curvature_loss_that_is_none_is_refused(loss, message, make_model, make_batch):
    model = make_model()
    optimizer = IRE(torch.optim.SGD(model.parameters(), lr=0.1), kappa=1, gamma=0.5)
    with pytest.raises(ValueError, match=message):
        optimizer.update_mask(loss(model(make_batch(0)[0])))
    assert optimizer.curvature_due


def test_a_curvature_loss_where_everything_is_frozen_is_refused(make_model, make_batch):
    model = make_model()
    optimizer = IRE(torch.optim.SGD(model.parameters(), lr=0.1), kappa=1, gamma=0.5)
    loss = model(make_batch(0)[0]).sum()
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="depends on none of the optimizer's parameters"):
        optimizer.update_mask(loss)


def test_where_everything_is_frozen_no_curvature_is_due(make_model, train):
    model = make_model().requires_grad_(False)
    optimizer = IRE(torch.optim.SGD(model.parameters(), lr=0.1), kappa=1, gamma=0.5)
    assert not optimizer.curvature_due
    optimizer.step()
    model[2].requires_grad_(True)
    assert optimizer.curvature_due
    train(model, optimizer, 1, 3)
    assert set(optimizer.flat_fractions()) == set(model[2].parameters())


@pytest.mark.parametrize(
    "scores, message",
    [
        (lambda ps, _: [], r"one tensor a parameter, 4 here, got \[\]"),
        (lambda ps, _: [p.tolist() for p in ps], r"one tensor a parameter, 4 here, got \[\["),
        (lambda ps, _: (p for p in ps), "4 here, got <generator"),
        (lambda ps, _: [p[:1] for p in ps], "must have the shape of its parameter"),
        (3, "scores must be a function of .* got 3"),
    ],
)
def test_a_source_of_ones_own_is_checked(scores, message, make_model):
    model = make_model()
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    with pytest.raises(ValueError, match=message):
        IRE(
            torch.optim.SGD(model.parameters(), lr=0.1),
            kappa=1,
            gamma=0.5,
            curvature=Source(scores=scores, gradients=False),
        ).step()


def test_update_mask_of_a_source_without_backward_is_refused(make_model):
    model = make_model()
    optimizer = IRE(torch.optim.SGD(model.parameters(), lr=0.1), kappa=1, gamma=0.5, curvature="random")
    with pytest.raises(ValueError, match="needs no backward pass"):
        optimizer.update_mask()


CLEARING = {
    "not": lambda model, optimizer: None,
    "model": lambda model, optimizer: model.zero_grad(),
    "model, in place": lambda model, optimizer: model.zero_grad(set_to_none=False),
    "optimizer": lambda model, optimizer: optimizer.zero_grad(),
    "optimizer, in place": lambda model, optimizer: optimizer.zero_grad(set_to_none=False),
    "by data, which counts no version": lambda model, optimizer: [
        p.grad.data.zero_() for p in model.parameters()
    ],
}


@pytest.mark.parametrize("cleared", CLEARING)
def test_training_gradients_under_the_curvature_are_noticed(cleared, make_model, make_batch):
    model = make_model()
    optimizer = IRE(torch.optim.SGD(model.parameters(), lr=0.1), kappa=1, gamma=0.5, interval=1)
    for _ in range(2):
        assert optimizer.curvature_due
        model(make_batch(0)[0]).sum().backward()
        if optimizer.steps == 1 and cleared == "not":
            with pytest.raises(ValueError, match="still hold those of the last step"):
                optimizer.update_mask()
            return
        optimizer.update_mask()
        model(make_batch(0)[0]).sum().backward()
        optimizer.step()
        CLEARING[cleared](model, optimizer)


@pytest.mark.parametrize(
    "after_step", [lambda model: None, lambda model: torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)]
)
def test_gradients_that_were_added_to_or_clipped_are_not_taken_for_cleared(
    after_step, make_model, make_batch
):
    model = make_model()
    optimizer = IRE(torch.optim.SGD(model.parameters(), lr=0.1), kappa=1, gamma=0.5, interval=1)
    model(make_batch(0)[0]).sum().backward()
    optimizer.update_mask()
    model(make_batch(0)[0]).sum().backward()
    optimizer.step()
    after_step(model)
    model(make_batch(1)[0]).sum().backward()
    assert optimizer.curvature_due
    with pytest.raises(ValueError, match="still hold those of the last step"):
        optimizer.update_mask()


@pytest.mark.parametrize("left", range(4))
def test_one_gradient_that_was_not_cleared_is_enough(left, make_model, make_batch):
    model = make_model()
    optimizer = IRE(torch.optim.SGD(model.parameters(), lr=0.1), kappa=1, gamma=0.5, interval=1)
    model(make_batch(0)[0]).sum().backward()
    optimizer.update_mask()
    model(make_batch(0)[0]).sum().backward()
    optimizer.step()
    for i, p in enumerate(model.parameters()):
        if i != left:
            p.grad = None
    assert optimizer.curvature_due
    model(make_batch(1)[0]).sum().backward()
    with pytest.raises(ValueError, match="still hold those of the last step"):
        optimizer.update_mask()


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("parts", [1, 2])
def test_a_training_backward_before_the_curvature_is_noticed(start, parts, make_model, make_batch):
    """The training gradients would be ranked and then lost, so that the step moves nothing."""
    model = make_model()
    optimizer = IRE(torch.optim.SGD(model.parameters(), lr=0.1), kappa=1, gamma=0.5, start=start)
    for _ in range(start):
        model(make_batch(0)[0]).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    model(make_batch(0)[0]).sum().backward()
    for part in make_batch(1)[0].chunk(parts):
        sampled_nll(model(part)).backward()
    with pytest.raises(ValueError, match="already had gradients when the curvature backward began"):
        optimizer.update_mask()
    model.zero_grad()
    for part in make_batch(1)[0].chunk(2):
        sampled_nll(model(part)).backward()
    optimizer.update_mask()
    assert optimizer.flat_fraction == 0.5


def test_training_gradients_stay_if_the_curvature_has_gradients_of_its_own(make_model, make_batch):
    model = make_model()
    optimizer = IRE(torch.optim.SGD(model.parameters(), lr=0.1), kappa=1, gamma=0.5)
    model(make_batch(0)[0]).sum().backward()
    kept = [p.grad.clone() for p in model.parameters()]
    optimizer.update_mask(sampled_nll(model(make_batch(1)[0])))
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), kept, strict=True))
    optimizer.step()


def attached(model, buffers):
    for p, buffer in zip(model.parameters(), buffers, strict=True):
        p.grad = buffer


def none_between(model, buffers):
    for p in model.parameters():
        p.grad = None
    attached(model, [buffer.zero_() for buffer in buffers])


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize(
    "clear", [lambda model, buffers: [buffer.zero_() for buffer in buffers], none_between]
)
def test_static_gradient_buffers_are_no_false_alarm(clear, asked, make_model, make_batch):
    """Cleared before or after `curvature_due` was asked, and attached again as the same tensors."""
    model = make_model()
    optimizer = IRE(torch.optim.SGD(model.parameters(), lr=0.1), kappa=1, gamma=0.5, interval=1)
    buffers = [torch.zeros_like(p) for p in model.parameters()]
    for step in range(3):
        if asked:
            assert optimizer.curvature_due
        clear(model, buffers)
        attached(model, buffers)
        model(make_batch(step)[0]).sum().backward()
        optimizer.update_mask()
        attached(model, [buffer.zero_() for buffer in buffers])
        model(make_batch(step)[0]).sum().backward()
        optimizer.step()
    assert optimizer.steps == 3


def test_gradients_set_to_none_by_hand_while_somebody_holds_them(make_model, make_batch):
    model, held = make_model(), []
    optimizer = IRE(torch.optim.SGD(model.parameters(), lr=0.1), kappa=1, gamma=0.5, interval=1)
    for step in range(3):
        for p in model.parameters():
            p.grad = None
        model(make_batch(step)[0]).sum().backward()
        optimizer.update_mask()
        model(make_batch(step)[0]).sum().backward()
        held += [p.grad for p in model.parameters()]
        optimizer.step()


def test_watching_leaves_no_hooks_behind(make_model, make_batch):
    model = make_model()
    optimizer = IRE(torch.optim.SGD(model.parameters(), lr=0.1), kappa=1, gamma=0.5, interval=3)
    for step in range(5):
        if optimizer.curvature_due:
            model(make_batch(step)[0]).sum().backward()
            optimizer.update_mask()
        model(make_batch(step)[0]).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert not any(p._backward_hooks for p in model.parameters())


@pytest.mark.parametrize("settings", [{}, {"ema": 0.5}, {"curvature": "sharpest"}])
def test_a_curvature_that_is_all_zero_keeps_the_mask_and_says_so(settings, make_model, make_batch):
    """As that of a classifier with a single class, which is always right."""
    model = make_model()
    base = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer = IRE(base, **{"kappa": 1, "gamma": 0.5, "interval": 1} | settings)
    model(make_batch(0)[0]).sum().backward()
    optimizer.update_mask()
    before = [mask.clone() for mask in optimizer._memory.masks.values()]
    optimizer._memory.averages.clear()
    (0 * model(make_batch(0)[0])).sum().backward()
    with pytest.warns(UserWarning, match="all 74 ranked coordinates is exactly zero"):
        optimizer.update_mask()
    assert all(map(torch.equal, before, optimizer._memory.masks.values()))
    assert optimizer.skipped_refreshes == 1


def test_nothing_to_rank_is_fine():
    """Empty shards, empty targets of adapters, pruned layers."""
    empty, full = torch.nn.Parameter(torch.randn(0)), torch.nn.Parameter(torch.randn(4))
    groups = [{"params": [empty], "gamma": 0.5}, {"params": [full]}, {"params": []}]
    optimizer = IRE(torch.optim.AdamW(groups, lr=0.1), kappa=1, gamma=0.5, interval=1)
    for _ in range(3):
        empty.grad, full.grad = torch.zeros(0), torch.randn(4)
        optimizer.update_mask()
        empty.grad, full.grad = torch.zeros(0), torch.randn(4)
        optimizer.step()
        optimizer.zero_grad()
    assert optimizer.flat_fraction == 0.5 and optimizer.skipped_refreshes == 0


def test_sparse_gradients_are_refused():
    model = torch.nn.Embedding(5, 3, sparse=True)
    optimizer = IRE(torch.optim.SGD(model.parameters(), lr=0.1), kappa=1, gamma=0.5)
    model(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(ValueError, match="sparse"):
        optimizer.update_mask()


def test_a_graph_that_captures_a_step_is_refused_before_anything_changes(monkeypatch):
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = IRE(torch.optim.SGD([p], lr=0.1), kappa=1, gamma=0.5, curvature="random")
    p.grad = torch.ones(3)
    with monkeypatch.context() as on_gpu:
        on_gpu.setattr(torch.Tensor, "is_cuda", True)
        on_gpu.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
        with pytest.raises(RuntimeError, match=r"cannot capture .* call step\(\) outside of the graph"):
            optimizer.step()
    assert optimizer.steps == 0 and p.tolist() == [1, 1, 1]
    optimizer.step()
    assert optimizer.steps == 1
