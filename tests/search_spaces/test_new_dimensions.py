"""What a space may search beside numbers of the optimizer: attributes of the task, words, Booleans, conditions."""

import re
import textwrap
import tomllib
from pathlib import Path

import pytest
import tomli_w

from ire.invalid_input import InvalidInput
from ire.methods.method import parse_method
from ire.trial.metric import Metric
from search_spaces import Choice, Fixed, Interval
from search_spaces.space import overlaid, parse_space

SPACE = """
horizon = 100
eval_interval = 10
default_methods = ["sgd", "sgd-ire"]
[search]
trials = 4
rungs = [50]
[confirm]
seeds = 2
[shared]
weight_decay = 0.0
[sgd]
lr = { log = [0.01, 1.0], published = 0.1 }
[adamw]
lr = { log = [1e-4, 1e-2], published = 1e-3 }
[ire]
kappa = { linear = [0.5, 4.0], published = 1.0 }
gamma = 0.9
start_fraction = 0.2
"""
SGD, ADAMW, SGD_IRE = map(parse_method, ("sgd", "adamw", "sgd-ire"))


def parse(*more: str, base: str = SPACE):
    return parse_space("\n".join((base, *more)), task="digits", source="my.toml")


def in_shared(line: str):
    return parse(base=SPACE.replace("[shared]", f"[shared]\n{line}"))


def test_an_attribute_of_the_task_is_searched_for_every_method():
    space = parse("[task]", "dropout = { linear = [0.0, 0.5], published = 0.1 }", "augment = true")
    for method in (SGD, ADAMW, SGD_IRE):
        assert space.dimensions(method)["task.dropout"] == Interval(low=0.0, high=0.5, published=0.1)
        assert space.published(method)["task.augment"] is True


def test_a_method_may_have_an_attribute_of_the_task_of_its_own():
    space = parse("[task]\ndropout = 0.1\n[methods.sgd]\ntask.dropout = 0.3")
    assert space.dimensions(SGD)["task.dropout"] == Fixed(published=0.3)
    assert space.dimensions(SGD_IRE)["task.dropout"] == Fixed(published=0.3)
    assert space.dimensions(ADAMW)["task.dropout"] == Fixed(published=0.1)


def test_choices_are_numbers_texts_and_truth_values():
    space = parse('[task]\nkind = { choice = ["a", 2, true], published = true }')
    assert space.dimensions(SGD)["task.kind"] == Choice(values=("a", 2, True), published=True)


def test_settings_of_methods_are_searched_among_texts_and_truth_values():
    space = parse(
        base=SPACE.replace("[sgd]", "[sgd]\nnesterov = { choice = [true, false], published = false }")
    )
    assert space.dimensions(SGD)["nesterov"] == Choice(values=(True, False), published=False)
    space = in_shared('schedule = { choice = ["cosine", "wsd"], published = "wsd" }')
    assert space.published(SGD)["schedule"] == "wsd"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("choice = [1, 2], published = true", "published = True is not among the choices"),
        ("choice = [true, true], published = true", "must be different"),
        ("choice = [[1], [2]], published = [1]", "must be different numbers, strings or Booleans"),
        ("choice = [1.0, nan], published = 1.0", "must be a finite number"),
        ("log = [1e-3, inf], published = 0.1", "must be a finite number"),
        ("linear = [0.0, 0.5], published = [0.1, 0.2]", r"further known points are \[\[points"),
        ('choice = [1, 2], published = 1, when = "lr"', "must be NAME, a comparison and a value"),
        ('choice = [1, 2], published = 1, when = "rl > 1"', "unknown setting 'rl'.*did you mean 'lr'"),
        ("choice = [1, 2], published = 1, limits = [0, 3]", "limits are for a range of numbers"),
        ("linear = [0.0, 0.5], published = 0.1, limits = [0.1, 1.0]", r"must contain the range \[0, 0.5\]"),
    ],
)
def test_a_range_of_an_attribute_that_cannot_be_is_refused(line, message):
    with pytest.raises(InvalidInput, match=message):
        parse(f"[task]\nx = {{ {line} }}")


@pytest.mark.parametrize("name", ["name", "study", "data", "_hidden"])
def test_what_says_which_task_it_is_cannot_be_searched(name):
    with pytest.raises(InvalidInput, match=f"task.{name}"):
        parse(f"[task]\n{name} = 1")


def test_a_setting_that_is_none_of_the_method_is_told_how_it_would_be_one_of_the_task():
    with pytest.raises(
        InvalidInput, match=r"unknown setting 'dropout'.*an attribute of the task is task\.dropout"
    ):
        in_shared("dropout = 0.1")


def test_batch_sizes_need_one_that_is_the_unit_of_cost():
    with pytest.raises(InvalidInput, match=r"give batch_size under \[task\]"):
        parse("[methods.sgd]\ntask.batch_size = 16")
    space = parse(
        "[task]\nbatch_size = { choice = [16, 64], published = 32 }".replace("[16, 64]", "[16, 32, 64]")
    )
    assert space.batch_unit == 32
    assert space.full_batches({"task.batch_size": 16}) == 0.5


# Conditions


WSD = """
schedule = { choice = ["cosine", "wsd"], published = "cosine" }
decay_share = { linear = [0.1, 0.5], published = 0.2, when = "schedule == 'wsd'" }
"""


def test_a_setting_takes_part_where_its_condition_holds():
    space = in_shared(WSD)
    assert "decay_share" not in space.published(SGD)
    assert "decay_share" in space.complete(SGD, {"schedule": "wsd"})
    assert "decay_share" not in space.active(SGD, {"schedule": "cosine", "decay_share": 0.3})


def test_a_condition_on_what_takes_no_part_does_not_hold():
    space = parse(
        '[task]\na = { choice = ["x", "y"], published = "x" }',
        "b = { choice = [1, 2], published = 1, when = \"task.a == 'y'\" }",
        'c = { choice = [1, 2], published = 1, when = "task.b < 9" }',
    )
    assert {"task.b", "task.c"}.isdisjoint(space.published(SGD))
    assert {"task.b", "task.c"} <= set(space.complete(SGD, {"task.a": "y"}))


@pytest.mark.parametrize(
    ("when", "lr", "holds"),
    [
        ("lr > 0.01", 0.02, True),
        ("lr > 0.01", 0.01, False),
        ("lr <= 0.01 and lr >= 0.01", 0.01, True),
        ("lr in [0.1, 0.2]", 0.2, True),
        ("lr != 0.1", 0.1, False),
        ("lr == 'wsd'", 0.1, False),
        ("lr < 'wsd'", 0.1, False),
    ],
)
def test_conditions_compare(when, lr, holds):
    space = parse(f'[task]\nx = {{ choice = [1, 2], published = 1, when = "{when}" }}')
    assert ("task.x" in space.active(SGD, {"lr": lr, "task.x": 1})) is holds


def test_a_condition_names_an_attribute_of_the_task_in_full():
    with pytest.raises(InvalidInput, match=r"b is an attribute of the task; write task\.b"):
        parse('[task]\na = { choice = [1, 2], published = 1, when = "b == 1" }', "b = 1")


def test_conditions_in_a_circle_are_refused():
    with pytest.raises(InvalidInput, match="circle"):
        parse(
            '[task]\na = { choice = [1, 2], published = 1, when = "task.b == 1" }',
            'b = { choice = [1, 2], published = 1, when = "task.a == 1" }',
        )


def test_a_setting_without_default_cannot_depend_on_another():
    space = parse(base=SPACE.replace("published = 0.1 }", 'published = 0.1, when = "weight_decay == 0" }'))
    with pytest.raises(InvalidInput, match="lr of sgd has no default and must always have a value"):
        space.dimensions(SGD)


def test_a_grid_has_each_point_once_though_a_setting_takes_no_part_in_some():
    space = parse(
        base=SPACE.replace("rungs = [50]", "grid = true").replace(
            "[shared]", "[shared]" + WSD.replace("linear = [0.1, 0.5]", "choice = [0.1, 0.2]")
        )
    )
    assert space.grid(SGD) == [
        {"schedule": "cosine"},
        {"schedule": "wsd", "decay_share": 0.1},
        {"schedule": "wsd", "decay_share": 0.2},
    ]


def test_every_piece_of_the_documentation_is_a_space():
    text = (Path(__file__).parents[2] / "docs" / "spaces.md").read_text()
    pieces = [
        textwrap.dedent(piece) for piece in re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.MULTILINE)
    ]
    first, *others = [tomllib.loads(piece) for piece in pieces]
    assert len(others) >= 5
    for other in others:
        known = {"fixed", "points"} - set(other)
        whole = overlaid({key: value for key, value in first.items() if key not in known}, other)
        space = parse_space(tomli_w.dumps(whole), task="digits", source="docs/spaces.md")
        for name in space.methods:
            method = parse_method(name)
            method.resolve(space.published(method))


# What is compared, and what is known beforehand


def test_the_metric_that_is_compared_and_its_direction():
    assert parse().metric.is_loss
    space = parse('[objective]\nmetric = "val_accuracy"\nmode = "max"')
    assert space.metric == space.selects == Metric(name="val_accuracy", mode="max")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('metric = "accuracy"\nmode = "max"', "metric = 'accuracy': must be a validation metric"),
        ('metric = "test_loss"\nmode = "min"', "metric = 'test_loss'"),
        ('metric = "val_accuracy"', "mode = None: must be min, .* or max"),
        ('metric = "val_loss"\nmode = "up"', "mode = 'up'"),
        ('metric = "val_loss"\nmode = "min"\nmod = 1', "unknown key 'mod'"),
    ],
)
def test_an_objective_that_cannot_be_is_refused(lines, message):
    with pytest.raises(InvalidInput, match=message):
        parse(f"[objective]\n{lines}")


POINTS = """
[[points.sgd]]
lr = 0.3
[[points.sgd]]
lr = 0.2
[[points.sgd-ire]]
lr = 0.2
kappa = 2.0
"""


def test_known_points_come_after_the_published_one_and_hold_for_what_is_built_on_their_method():
    space = parse(POINTS)
    assert [point["lr"] for point in space.points(SGD)] == [0.1, 0.3, 0.2]
    boosted = [(point["lr"], point["kappa"]) for point in space.points(SGD_IRE)]
    assert boosted == [(0.1, 1.0), (0.2, 2.0), (0.3, 1.0), (0.2, 1.0)]
    assert [point["lr"] for point in space.points(ADAMW)] == [1e-3]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("[[points.sgd]]\nlr = 3.0", r"lr = 3.0 lies outside the range of sgd \(log \[0.01, 1\]\)"),
        ("[[points.sgd]]\nweight_decay = 0.1", "weight_decay = 0.1 lies outside"),
        ("[[points.sgd]]\nrl = 3.0", "unknown setting of sgd 'rl'"),
        ("[[points.sdg]]\nlr = 0.1", "unknown method 'sdg'"),
        ("[points.sgd]\nlr = 0.1", r"must be one or more tables"),
        (
            "[task]\na = { choice = [1, 2], published = 1 }\n"
            "b = { choice = [1, 2], published = 1, when = 'task.a == 2' }\n[[points.sgd]]\ntask.b = 2",
            "task.b = 2 has no effect in this point: it is searched only when task.a == 2",
        ),
        ("[[points.sgd]]\nlr = 0.2\n[fixed.sgd]\nlr = 0.2", "remove one of the two"),
    ],
)
def test_a_known_point_that_cannot_be_is_refused(lines, message):
    with pytest.raises(InvalidInput, match=message):
        parse(lines)


def test_a_fixed_method_has_its_settings_alone_and_what_is_built_on_it_is_searched():
    space = parse("[fixed.sgd]\nlr = 5.0\nsearch_cost = 12000")
    assert space.dimensions(SGD)["lr"] == Fixed(published=5.0)  # it may lie outside of the range
    assert not space.is_searched(SGD)
    assert space.fixed["sgd"].search_cost == 12000
    assert isinstance(space.dimensions(SGD_IRE)["lr"], Interval)


def test_a_fixed_method_may_have_settings_that_the_space_does_not_mention():
    published = parse("[fixed.sgd]\nnesterov = true\ntask.dropout = 0.2").published(SGD)
    assert (published["nesterov"], published["task.dropout"]) == (True, 0.2)


ARMS = """
horizon = 100
eval_interval = 10
[arms.mine]
lr = { log = [1e-4, 1e-2], published = 1e-3 }
[arms.theirs]
role = "baseline"
lr = { log = [1e-4, 1e-2], published = 1e-3 }
"""


def test_arms_of_a_training_function_have_points_and_may_be_fixed_and_compared_by_any_metric():
    space = parse_space(
        ARMS
        + '[[points.mine]]\nlr = 2e-3\n[fixed.theirs]\nlr = 5e-2\n[objective]\nmetric = "val_bleu"\nmode = "max"',
        task="train.py:train",
        source="my.toml",
    )
    assert [point["lr"] for point in space.points(space.method("mine"))] == [1e-3, 2e-3]
    assert space.published(space.method("theirs")) == {"lr": 5e-2}
    assert not space.is_searched(space.method("theirs"))
    assert space.metric.name == "val_bleu"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("[fixed.theirs]\nrl = 1", "unknown setting 'rl' in my.toml, .fixed.theirs.*did you mean 'lr'"),
        ("[fixed.other]\nlr = 1", "unknown arm 'other'"),
        ("[[points.mine]]\nlr = 1.0", "lr = 1.0 lies outside"),
    ],
)
def test_what_is_known_of_an_arm_is_checked(lines, message):
    with pytest.raises(InvalidInput, match=message):
        parse_space(ARMS + lines, task="train.py:train", source="my.toml")


def test_a_fixed_method_takes_its_options_and_attributes_of_the_task():
    space = parse(
        "[task]\ndropout = { linear = [0.0, 0.5], published = 0.1 }\n[fixed.sgd]\ntask.dropout = 0.2"
    )
    assert space.published(SGD)["task.dropout"] == 0.2
    assert space.published(SGD)["lr"] == 0.1
