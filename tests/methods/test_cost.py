"""What a step costs is counted, and what cannot be built is said before anything starts."""

import pytest
import torch

from ire.invalid_input import InvalidInput
from ire.methods.method import parse_method
from ire.trial.spec import TrialSpec
from trainables.task import load_task
from trainables.training.loop import train
from trainables.training.rehearsal import empty_model, rehearse

LIAR = """
class Liar(torch.optim.SGD):
    {about}
    def step(self, closure):
        for _ in range({passes}):
            loss = closure()
        super().step()
        return loss
"""


def spec(method: str, **fields) -> TrialSpec:
    arm = parse_method(method)
    common = {"task": "digits", "seed": 5, "horizon": 6, "eval_interval": 3}
    return TrialSpec(method=method, settings=arm.resolve({"lr": 0.01}), **common | fields)


def run(method: str) -> list[dict]:
    reports = []
    train(spec(method), lambda report, _: reports.append(report) or True)
    return reports


def liar(module, passes: int, about: str = "") -> str:
    return f"{module(LIAR.format(passes=passes, about=about))}:Liar"


def test_a_class_that_evaluates_its_closure_twice_is_found_out_in_its_first_step(module):
    with pytest.raises(
        InvalidInput, match=r'took 2 gradients in one step but declares 1.*\{"gradients": 2\}'
    ):
        run(liar(module, 2))


def test_it_is_found_out_before_the_sweep_starts(module):
    method = parse_method(liar(module, 3))
    with pytest.raises(InvalidInput, match="took 3 gradients in one step but declares 1"):
        rehearse(load_task("digits"), {method: method.resolve({"lr": 0.01})}, horizon=10)


def test_what_it_takes_is_counted_whatever_it_says(module):
    name = liar(module, 2, 'ire_method = {"gradients": 4}')
    assert [report["gradient_evaluations"] for report in run(name)] == [6, 12]


def test_a_class_that_says_what_it_costs_is_taken_at_its_word_in_the_budget(module):
    method = parse_method(liar(module, 2, 'ire_method = {"gradients": 2}'))
    assert method.gradient_evaluations({}, 100) == 200


def test_a_class_that_never_evaluates_its_closure_is_named(module):
    name = module("class Deaf(torch.optim.SGD):\n    def step(self, closure=None): return None")
    deaf = parse_method(f"{name}:Deaf")
    with pytest.raises(InvalidInput, match="without evaluating its closure"):
        rehearse(load_task("digits"), {deaf: deaf.resolve({"lr": 0.01})}, horizon=6)
    with pytest.raises(InvalidInput, match="without evaluating its closure"):
        run(deaf.name)


def test_a_curvature_pass_is_counted_like_a_gradient():
    reports = []
    arm = parse_method("sophia")
    settings = arm.resolve({"lr": 1e-3, "curvature_interval": 3})
    trial = TrialSpec(method="sophia", settings=settings, task="digits", seed=5, horizon=6, eval_interval=3)
    train(trial, lambda report, _: reports.append(report) or True)
    assert [report["gradient_evaluations"] for report in reports] == [4, 8]  # passes before steps 0 and 3
    assert arm.gradient_evaluations(settings, 6) == 8


def test_a_constructor_that_raises_for_this_model_is_told_before_the_sweep_starts(module):
    name = module("""
        class Fussy(torch.optim.SGD):
            def __init__(self, params, lr=0.1):
                params = list(params)
                if any(p.ndim > 2 for p in params):
                    raise RuntimeError("only matrices\\nplease")
                super().__init__(params, lr=lr)
    """)
    method = parse_method(f"fussy={name}:Fussy")
    with pytest.raises(InvalidInput, match=r"method 'fussy': cannot be built .*RuntimeError: only matrices$"):
        rehearse(load_task("digits"), {method: method.resolve({})}, horizon=10)


def test_a_class_that_ire_cannot_boost_is_refused_before_the_sweep_starts():
    method = parse_method("pytorch_optimizer:MADGRAD-ire")
    settings = method.resolve({"lr": 0.1, "kappa": 1.0, "gamma": 0.5})
    with pytest.raises(InvalidInput, match="IRE cannot be put around MADGRAD"):
        rehearse(load_task("digits"), {method: settings}, horizon=10)


def test_a_class_that_loses_a_parameter_is_refused(module):
    name = module("""
        class Loser(torch.optim.SGD):
            def __init__(self, params, lr=0.1):
                super().__init__(list(params)[1:], lr=lr)
    """)
    method = parse_method(f"{name}:Loser")
    with pytest.raises(InvalidInput, match="1 parameters are in no group"):
        rehearse(load_task("digits"), {method: method.resolve({})}, horizon=10)


def test_an_empty_model_has_the_models_parameters_and_shares_what_it_shares():
    task = load_task("stdlib-lm")
    model, empty = task.model(), empty_model(task)
    assert {n: p.shape for n, p in empty.named_parameters()} == {
        n: p.shape for n, p in model.named_parameters()
    }
    assert all(p.device == torch.device("cpu") for p in empty.parameters())
