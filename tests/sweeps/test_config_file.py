"""A sweep from a file: what a person wrote, and the sweep.toml that a sweep has written."""

import sys
import tomllib

import own_script
import pytest
import tomli_w
from simulated import make_plan
from typer.testing import CliRunner

from ire.invalid_input import InvalidInput
from ire.sweeps.command.app import app
from ire.sweeps.experiments import launch
from ire.sweeps.plan.config import read_config
from ire.sweeps.plan.options import PLANNED
from ire.sweeps.plan.plan import RULES
from search_spaces import find_space


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """The plan that `ire sweep` with these arguments makes."""

    def planned(*arguments):
        found = []

        def run(plan, *_, **__):
            found.append(plan)
            raise InvalidInput("planned")

        monkeypatch.setattr(launch, "run_plan", run)
        monkeypatch.chdir(tmp_path)
        result = CliRunner().invoke(app, ["sweep", *map(str, arguments)])
        assert found, (result.exception, result.output)
        return found[0]

    return planned


def written(tmp_path, text: str):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def test_a_file_says_what_flags_say(planned, tmp_path):
    path = written(
        tmp_path,
        """
task = "digits"
methods = ["sgd", "adamw"]
trials = 7
curve = [0.5, 2.0]
controls = true
name = "mine"
""",
    )
    plan = planned(path)
    flags = "digits --methods sgd,adamw --trials 7 --curve-horizons 0.5,2 --controls --name mine"
    assert plan == planned(*flags.split())
    assert (plan.name, plan.trials, plan.curve) == ("mine", 7, (0.5, 2.0))


def test_flags_count_more_than_the_file(planned, tmp_path):
    path = written(tmp_path, 'task = "digits"\ntrials = 7\nseed = 3\ncurve = true\n')
    plan = planned(path, "--trials", "9", "--no-curve")
    assert (plan.trials, plan.seed, plan.curve) == (9, 3, ())


def test_what_a_sweep_has_written_runs_it_again(planned, tmp_path):
    before = make_plan(trials=5, curve=(2.0,), seed=4, controls=True, rules=RULES, precision="fp32")
    again = planned(written(tmp_path, before.to_toml()))
    assert again.space == before.space
    for name in PLANNED:
        if name != "name":
            assert getattr(again, name) == getattr(before, name), name
    assert again.name != before.name


def test_what_a_sweep_of_a_script_has_written_runs_it_again_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    task = own_script.write(tmp_path / "code")
    before = make_plan(
        task="train.py:train",
        methods=("baseline", "mine"),
        baselines=("baseline",),
        space=find_space(task),
        import_path=(str(tmp_path / "code"),),
        paired=True,
        seeded=False,
    )
    path = written(tmp_path, before.to_toml())
    with pytest.raises(InvalidInput, match=r"has not run it before.*--trust"):
        read_config(path)
    found = read_config(path, trust=True)
    assert (found["task"], found["methods"], found["space"]) == (task, before.methods, before.space)


def test_the_space_may_be_a_path_beside_the_file_or_a_table(tmp_path):
    text = make_plan().space.text
    (tmp_path / "space.toml").write_text(text)
    assert (
        read_config(written(tmp_path, 'task = "digits"\nspace = "space.toml"'))["space"]
        == tmp_path / "space.toml"
    )
    table = {"task": "digits", "space": tomllib.loads(text)}
    assert read_config(written(tmp_path, tomli_w.dumps(table)))["space"].horizon == 240


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trails = 4", "unknown option 'trails' in .*did you mean 'trials'"),
        ("trials = 4", "needs a task"),
        ("task = 4", "needs a task"),
        ('task = "digits"\nspace = 3', "must be the path of a space file or a table"),
        ('task = "digits"\ntrials = {a = 1}', "must be text, a number"),
        ("schema = 99", "reads 1"),
        ("task =", "not TOML"),
    ],
)
def test_a_mistake_is_named_with_the_file(tmp_path, text, message):
    with pytest.raises(InvalidInput, match=message) as raised:
        read_config(written(tmp_path, text))
    assert "mine.toml" in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InvalidInput, match="there is no such file"):
        read_config(tmp_path / "none.toml")
