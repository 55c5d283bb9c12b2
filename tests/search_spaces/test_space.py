from dataclasses import replace

import pytest

from ire.invalid_input import InvalidInput
from ire.methods.method import all_methods, parse_method
from search_spaces import Choice, Fixed, Interval, find_space, space_names
from search_spaces.space import parse_space
from trainables.task import task_names

SPACE = """
horizon = 100
eval_interval = 10
default_methods = ["sgd", "sgd-ire"]
[search]
trials = 4
rungs = [50, 75]
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
gamma = { choice = [0.8, 0.9], published = 0.9 }
start_fraction = { linear = [0.0, 0.4], published = 0.2 }
interval = { integer = [5, 20], published = 10 }
[methods.sam-sgd]
rho = 0.1
[methods.sam-sgd-ire]
kappa = 2.0
"""


def parse(text: str):
    return parse_space(text, task="digits", source="my.toml")


def with_other(old: str, new: str) -> str:
    assert old in SPACE
    return SPACE.replace(old, new)


def test_every_task_has_a_space_and_every_space_a_task():
    assert space_names() == task_names()


def test_every_space_covers_every_method_with_admissible_published_settings():
    for task in space_names():
        space = find_space(task)
        for name, method in all_methods().items():
            assert set(space.dimensions(method)) == set(method.settings), (task, name)
            method.resolve(space.published(method))
            space.check_rungs(method)


@pytest.mark.parametrize("task", space_names())
def test_shared_dimensions_are_searched_alike_with_and_without_ire(task):
    space = find_space(task)
    for name, method in all_methods().items():
        base = space.dimensions(parse_method(method.ancestors[0]))
        for setting in ("lr", "weight_decay", "warmup_fraction"):
            own, published = space.dimensions(method)[setting], base[setting].published
            assert replace(own, published=published) == base[setting], (name, setting)  # the same range
            assert isinstance(base[setting], Interval)
        if method.ire:
            assert isinstance(space.dimensions(method)["kappa"], Interval)
            assert isinstance(space.dimensions(method)["start_fraction"], Interval)


def test_methods_inherit_from_what_they_are_built_of():
    space = parse(SPACE)
    assert space.dimensions(parse_method("sgd"))["lr"] == Interval(
        low=0.01, high=1.0, published=0.1, log=True
    )
    ire = space.dimensions(parse_method("sgd-ire"))
    assert ire["lr"] == space.dimensions(parse_method("sgd"))["lr"]
    assert ire["gamma"] == Choice(values=(0.8, 0.9), published=0.9)
    assert ire["interval"] == Interval(low=5, high=20, published=10, integer=True)
    assert ire["momentum"] == Fixed(published=0.9)
    assert space.dimensions(parse_method("sam-sgd"))["rho"] == Fixed(published=0.1)
    boosted = space.dimensions(parse_method("sam-sgd-ire"))
    assert (boosted["rho"], boosted["kappa"]) == (Fixed(published=0.1), Fixed(published=2.0))
    assert space.dimensions(parse_method("sam-sgd-ire-random"))["kappa"] == Fixed(published=2.0)
    assert "gamma" not in space.dimensions(parse_method("sgd-ire-all"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("horizon = 100", "horizn = 100", "unknown key 'horizn' in my.toml: did you mean 'horizon'"),
        ("horizon = 100", "", "my.toml: horizon is missing"),
        ("trials = 4", 'trials = 4\nselect = "train_loss"', "select and measured are for a grid"),
        ("trials = 4", 'trials = 4\nselect = "accuracy"', "must be one of val_loss, train_loss"),
        ("horizon = 100", "horizon = 1.5", "horizon = 1.5: must be an integer"),
        (
            "eval_interval = 10",
            "eval_interval = 101",
            "eval_interval = 101: must be an integer from 1 to 100",
        ),
        ("[sgd]", "[sdg]", "unknown key 'sdg' in my.toml: did you mean 'sgd'"),
        (
            "lr = { log = [0.01",
            "rl = { log = [0.01",
            r"unknown setting 'rl' in my.toml, \[sgd\]: did you mean 'lr'",
        ),
        ("log = [0.01, 1.0]", "log = [1.0, 0.01]", r"my.toml, \[sgd\], lr: .*did you mean \[0.01, 1.0\]"),
        ("log = [0.01, 1.0]", "log = [0.0, 1.0]", "both ends must be above 0"),
        ("log = [0.01, 1.0]", "lgo = [0.01, 1.0]", "unknown key 'lgo' .*did you mean 'log'"),
        ("log = [0.01, 1.0]", "log = [0.01]", r"must be \[low, high\]"),
        ("published = 0.1 }", "published = 5.0 }", r"published = 5.0 lies outside \[0.01, 1.0\]"),
        (", published = 0.1 }", " }", "lr: needs `published`"),
        ("choice = [0.8, 0.9]", "choice = [0.8]", r"0.9 is not among the choices \[0.8\]"),
        (
            "choice = [0.8, 0.9]",
            "choice = [0.9, 1.8]",
            r"gamma = 1.8 in my.toml, \[ire\]: must be a number in \(0, 1\]",
        ),
        ("integer = [5, 20]", "linear = [5, 20]", r"interval: takes whole numbers: use integer"),
        ("[methods.sam-sgd]", "[methods.sam-sdg]", "unknown method 'sam-sdg'"),
        ('["sgd", "sgd-ire"]', '"sgd"', "default_methods = 'sgd': must be a list"),
        ('["sgd", "sgd-ire"]', '["sgd", "sgd-ira"]', "unknown method 'sgd-ira' in my.toml, default_methods"),
        (
            "rungs = [50, 75]",
            "rungs = [75, 50]",
            "rungs = .*rising whole steps between 0 and the horizon 100",
        ),
        ("rungs = [50, 75]", "rungs = [50, 100]", "rungs = "),
        ("trials = 4", "trial = 4", r"unknown key 'trial' in my.toml, \[search\]: did you mean 'trials'"),
        ("trials = 4", "trials = 0", "trials = 0: must be an integer of at least 1"),
        ("seeds = 2", "seed = 2", "my.toml, .confirm.*: seeds is missing"),
        ("[confirm]", "[confirm", "my.toml: not TOML"),
    ],
)
def test_every_mistake_is_named_with_file_key_and_remedy(old, new, message):
    with pytest.raises(InvalidInput, match=message):
        parse(with_other(old, new))


def test_a_first_rung_before_the_latest_start_is_refused_with_the_arithmetic():
    space = parse(with_other("rungs = [50, 75]", "rungs = [40, 75]"))
    space.check_rungs(parse_method("sgd"))  # nothing starts late there
    with pytest.raises(InvalidInput, match=r"first rung 40 .*up to 0.4 x horizon 100 = step 40"):
        space.check_rungs(parse_method("sgd-ire"))


def test_a_range_that_is_missing_is_named():
    space = parse(with_other("kappa = { linear = [0.5, 4.0], published = 1.0 }", ""))
    with pytest.raises(InvalidInput, match="sgd-ire needs a range or value for 'kappa'"):
        space.dimensions(parse_method("sgd-ire"))


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path):
    with pytest.raises(InvalidInput, match="there is no such file"):
        find_space("digits", tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="cannot read the space file"):
        find_space("digits", tmp_path / "binary.toml")
    with pytest.raises(InvalidInput, match="unknown task 'my-task'"):
        find_space("my-task")
