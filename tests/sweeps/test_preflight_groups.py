"""The records say, once a run, which parameters each optimizer treats alike."""

from small_space import space_with

from ire.sweeps.experiments.preflight import parameter_groups
from ire.sweeps.plan.plan import Plan
from search_spaces import find_space


def plan_of(task, methods, space):
    return Plan(task=task, methods=methods, trials=1, confirm_seeds=1, name="x", space=space)


def test_every_parameter_is_in_one_group_of_each_method():
    groups = parameter_groups(plan_of("stdlib-lm", ("adamw", "muon"), find_space("stdlib-lm")))
    (whole,) = groups["adamw"]
    assert whole["decays"]
    named = [name for group in groups["muon"] for name in group["parameters"]]
    assert sorted(named) == sorted(whole["parameters"])
    assert sum(group["numbers"] for group in groups["muon"]) == whole["numbers"]
    assert len(groups["muon"]) > 1


def test_what_does_not_decay_is_a_group_of_its_own():
    space = space_with({"shared": {"decay": "matrices"}})
    groups = {
        group["decays"]: group["parameters"]
        for group in parameter_groups(plan_of("digits", ("sgd",), space))["sgd"]
    }
    assert "7.bias" in groups[False]
    assert "7.weight" in groups[True]
