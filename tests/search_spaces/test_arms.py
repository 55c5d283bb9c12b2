"""The arms of a training function in a space file."""

import sys

import pytest

from ire.invalid_input import InvalidInput
from ire.methods.own_arm import OwnArm
from ire.sweeps.plan.plan import Plan
from search_spaces import Choice, Fixed, Interval
from search_spaces.space import find_space, parse_space

TEXT = """
horizon = 2000
eval_interval = 100
[arms.baseline]
role = "baseline"
lr = { log = [1e-4, 1e-2], published = 1e-3 }
[arms.mine]
lr = { log = [1e-4, 1e-2], published = 1e-3 }
pooling = { choice = ["mean", "max"], published = "mean" }
norm = { choice = [true, false], published = true }
layers = 4
"""


def parse(text=TEXT):
    return parse_space(text, task="train.py:train", source="train.toml")


def test_an_arm_has_settings_of_any_kind():
    space = parse()
    mine = space.method("mine")
    assert isinstance(mine, OwnArm)
    assert space.dimensions(mine) == {
        "lr": Interval(low=1e-4, high=1e-2, published=1e-3, log=True),
        "pooling": Choice(values=("mean", "max"), published="mean"),
        "norm": Choice(values=(True, False), published=True),
        "layers": Fixed(published=4),
    }
    assert space.published(mine) == {"lr": 1e-3, "pooling": "mean", "norm": True, "layers": 4}


def test_a_space_with_nothing_to_compare_says_what_is_missing():
    with pytest.raises(InvalidInput, match=r"train.toml has neither \[arms.NAME\].*nor \[search\]"):
        parse("horizon = 10\neval_interval = 2\n")


def test_the_arms_are_the_methods_and_their_role_makes_the_yardstick():
    assert parse().methods == ("baseline", "mine")
    assert parse().baselines == ("baseline",)


def test_a_file_of_arms_alone_has_one_rung_at_half_the_horizon_and_three_studies():
    space = parse()
    assert (space.search.trials, space.search.budget_per_trial, space.search.rungs) == (16, 0.75, (1000,))
    assert (space.confirm_seeds, space.candidates, space.studies, space.flatness_batches) == (5, 3, 3, 0)


def test_what_a_file_says_of_the_search_stands():
    space = parse(TEXT + "[search]\ntrials = 4\nrungs = [500]\n[confirm]\nseeds = 2\nstudies = 1\n")
    assert (space.search.trials, space.search.rungs, space.confirm_seeds, space.studies) == (4, (500,), 2, 1)


def test_an_arm_may_have_the_name_of_a_method_and_means_what_the_script_makes_of_it():
    space = parse(TEXT.replace("arms.mine", "arms.sgd-ire"))
    assert isinstance(space.method("sgd-ire"), OwnArm)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('role = "baseline"', "", 'none of the arms baseline, mine is the baseline.*role = "baseline"'),
        (
            '"baseline"',
            '"candidate"',
            r'\[arms.baseline\]: role = .candidate.: must be "baseline", or left out',
        ),
        ("arms.mine", 'arms."a b"', "must be at most 40 letters"),
        ("layers = 4", "layers = [4]", r"layers = \[4\].*must be a finite number, a string or a Boolean"),
        ("layers = 4", "lay-ers = 4", "a setting's name must be letters, digits and _"),
        ("layers = 4", "gradients_per_step = 0", "must be a number above 0"),
        ("layers = 4", 'optimizer = "adamv"', "unknown method 'adamv'"),
        ("layers = 4", 'optimizer = "sgd-ire"', "sgd-ire needs kappa"),
        ("[arms.mine]", "[sgd]\nlr = 1\n[arms.mine]", r"unknown key 'sgd' in train.toml, which has \[arms\]"),
    ],
)
def test_a_mistake_is_named_with_its_place(before, after, message):
    assert before in TEXT
    with pytest.raises(InvalidInput, match=message):
        parse(TEXT.replace(before, after, 1))


def test_an_unknown_arm_is_refused_with_the_nearest():
    with pytest.raises(InvalidInput, match=r"unknown arm 'mien'.*did you mean 'mine'"):
        parse().method("mien")


def test_the_most_expensive_trial_of_an_arm_has_its_most_expensive_optimizer():
    text = """
    horizon = 20
    eval_interval = 5
    [arms.baseline]
    role = "baseline"
    optimizer = { choice = ["sgd", "sam-sgd"], published = "sgd" }
    lr = { log = [0.01, 1.0], published = 0.1 }
    momentum = 0.9
    weight_decay = 1e-4
    warmup_fraction = 0.1
    final_lr_fraction = 0.0
    rho = 0.05
    """
    space = parse_space(text, task="train.py:train", source="train.toml")
    plan = Plan(
        name="p", task="train.py:train", methods=("baseline",), trials=8, confirm_seeds=1, seed=0, space=space
    )
    assert plan.most_expensive_trial(plan.method("baseline")) == 40


def test_an_optimizer_that_lies_beside_the_script_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "beside_train.py").write_text("import torch\nclass Own(torch.optim.SGD): ...\n")
    text = TEXT.replace("layers = 4", 'optimizer = "beside_train:Own"')
    (tmp_path / "beside_train.toml").write_text(text)
    space = find_space(f"{tmp_path}/beside_train.py:train")
    assert space.published(space.method("mine"))["optimizer"] == "beside_train:Own"
