"""Classes from outside as arms of a sweep: names, files, records and ranges."""

import pytest

from ire.invalid_input import InvalidInput
from ire.methods.method import parse_method
from ire.sweeps.plan.changes import extended
from ire.sweeps.plan.plan import Plan, read_plan
from search_spaces import Fixed, Interval, find_space
from search_spaces.space import parse_space


def plan(*methods, **fields) -> Plan:
    common = {"name": "x", "task": "digits", "trials": 4, "confirm_seeds": 2, "seed": 0}
    return Plan(methods=methods, space=find_space("digits"), **common | fields)


def test_trials_of_a_class_have_names_that_are_file_names():
    made = plan("adamw", "mine=torch.optim:NAdam-ire", "torch.optim:NAdam")
    settings = {"lr": 0.1, "kappa": 1.0, "gamma": 0.5}
    assert made.search_trial("mine=torch.optim:NAdam-ire", 3, settings).name == "mine-ire-0003"
    assert made.search_trial("torch.optim:NAdam", 3, {"lr": 0.1}).name == "torch.optim.NAdam-0003"


def test_a_plan_with_a_class_is_read_as_it_was_written(tmp_path):
    made = plan("adamw", "mine=torch.optim:NAdam", "torch.optim:RAdam-ire")
    made.check()
    (tmp_path / "sweep.toml").write_text(made.to_toml())
    assert read_plan(tmp_path) == made


def test_a_resume_knows_the_short_names_of_the_sweep():
    made = extended(plan("adamw", "mine=torch.optim:NAdam"), methods=["mine-ire"])
    assert made.methods == ("adamw", "mine=torch.optim:NAdam", "mine=torch.optim:NAdam-ire")


def test_two_arms_of_one_name_are_refused_before_the_sweep_starts():
    with pytest.raises(InvalidInput, match="--methods names 'adamw' twice"):
        plan("adamw", "adamw").check()
    with pytest.raises(InvalidInput, match="are the same name"):
        plan("a=torch.optim:NAdam", "a=torch.optim:RAdam").check()


def test_a_space_without_a_table_searches_lr_around_the_default_and_shares_the_rest():
    space, method = find_space("digits"), parse_method("torch.optim:NAdam")
    dimensions = space.dimensions(method)
    assert dimensions["lr"] == Interval(
        low=pytest.approx(2e-4), high=pytest.approx(2e-2), published=2e-3, log=True
    )
    assert dimensions["weight_decay"] == space.dimensions(parse_method("adamw"))["weight_decay"]
    assert dimensions["beta2"] == Fixed(published=0.999)
    assert not space.says(method) and space.says(parse_method("adamw"))


TABLE = """
horizon = 100
eval_interval = 10
[search]
trials = 2
[confirm]
seeds = 1
[shared]
schedule = { choice = ["cosine", "wsd"], published = "wsd" }
decay_share = { linear = [0.1, 0.5], published = 0.2 }
["torch.optim:NAdam"]
beta1 = { linear = [0.5, 0.95], published = 0.9 }
decay = "matrices"
[adamw]
lr = 0.1
amsgrad = { choice = [true, false], published = false }
[sgd]
lr = 0.1
nesterov = true
"""


def test_a_class_may_have_a_table_and_options_are_searched_like_any_setting():
    space = parse_space(TABLE, task="digits", source="my.toml")
    for name in ("torch.optim:NAdam", "mine=torch.optim:NAdam"):
        dimensions = space.dimensions(parse_method(name))
        assert str(dimensions["schedule"]) == "choice ['cosine', 'wsd']"
        assert dimensions["beta1"].high == 0.95
        assert dimensions["decay"] == Fixed(published="matrices")
        assert dimensions["lr"].published == 2e-3  # still around the default
    assert space.published(parse_method("sgd"))["nesterov"] is True
    assert str(space.dimensions(parse_method("adamw"))["amsgrad"]) == "choice [True, False]"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "beta1 =",
            "beta3 =",
            r"unknown setting 'beta3' in my.toml, \[torch.optim:NAdam\]: did you mean 'beta",
        ),
        ("[0.5, 0.95]", "[0.5, 1.5]", r"beta1 = 1.5 in my.toml.*\[0, 1\)"),
        ('"cosine", "wsd"', '"cosin", "wsd"', "schedule = 'cosin' in my.toml"),
        ("torch.optim:NAdam", "torch.optim:NAdm", "unknown optimizer class 'NAdm'"),
        ("torch.optim:NAdam", "nowhere_at_all:NAdam", "cannot import 'nowhere_at_all'"),
        ("nesterov = true", "nesterov = 1", "nesterov = 1 in my.toml.*Boolean"),
    ],
)
def test_a_mistake_in_a_table_of_a_class_is_named(old, new, message):
    assert old in TABLE
    with pytest.raises(InvalidInput, match=message):
        parse_space(TABLE.replace(old, new), task="digits", source="my.toml")
