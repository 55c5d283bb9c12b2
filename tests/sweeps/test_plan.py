import tomllib

import numpy as np
import pytest
from own_script import SPACE
from simulated import make_plan

from ire.invalid_input import InvalidInput
from ire.sweeps.plan.plan import Plan, read_plan
from ire.sweeps.plan.toml_text import toml_text
from ire.sweeps.ray.cluster import Node, capacity
from ire.sweeps.search.protocol import Protocol
from search_spaces import find_space
from search_spaces.space import parse_space


@pytest.mark.parametrize("task", ["digits", "stdlib-lm"])
def test_a_plan_survives_its_file(task):
    plan = make_plan(task=task, space=find_space(task), max_concurrent=3, gpus_per_worker=0.5)
    text = plan.to_toml()
    assert Plan.from_toml(text, source="sweep.toml") == plan
    assert "[versions]" in text
    assert "torch = " in text


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_space_file_with_anything_in_it_survives(end):
    text = find_space("digits").text + "\n# it's '''quoted''' and \"quoted\" \\ back\tslash é 𝛾\n"
    text = text.replace("\n", end)
    plan = make_plan(space=parse_space(text, task="digits", source='a "b" \\ c.toml'))
    assert Plan.from_toml(plan.to_toml(), source="sweep.toml") == plan


def test_a_file_of_an_older_version_is_read_as_it_was_written():
    plan = make_plan()
    older = f"""# Everything needed to run this sweep again: `ire resume` reads it.
schema = 1
name = "simulated"
task = "digits"
methods = ["sgd", "sgd-ire", "sam-sgd"]
trials = 6
confirm_seeds = 2
seed = 0
import_path = []

[versions]
torch = "2.14.0"

[space]
source = "digits.toml"
text = '''
{plan.space.text}'''
"""
    assert Plan.from_toml(older, source="sweep.toml") == plan


@pytest.mark.parametrize("text", ["", "schema = 1", "schema = 99\n", "not toml"])
def test_another_file_is_refused(text, tmp_path):
    (tmp_path / "sweep.toml").write_text(text)
    with pytest.raises(InvalidInput, match=r"sweep\.toml"):
        read_plan(tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"trials": "6"}, "--trials '6': must be a whole number"),
        ({"trials": 6.5}, "--trials 6.5: must be a whole number"),
        ({"trials": []}, "--trials"),
        ({"trials": True}, "--trials True"),
        ({"methods": "sgd"}, "--methods"),
        ({"methods": [1]}, "--methods 1: must be a list of"),
        ({"name": 3}, "--name 3"),
        ({"task": 3}, "task = 3"),
        ({"import_path": "x"}, "import_path = 'x': must be a list of folders"),
        ({"rules": 99}, "rules = 99"),
        ({"schema": 99}, "schema 99, but this version of ire reads 1: a newer version"),
        ({"future": 2}, "unknown key 'future': a newer version"),
        ({"versions": [{}]}, "[versions]: must be a table of texts"),
        ({"space": None}, "not the sweep.toml of an experiment folder"),
        ({"space": 3}, "[space]: must be a table of texts"),
    ],
)
def test_a_value_of_another_type_is_one_line_that_names_the_file(changed, message, tmp_path):
    text = toml_text(tomllib.loads(make_plan().to_toml()) | changed)
    (tmp_path / "sweep.toml").write_text(text)
    with pytest.raises(InvalidInput) as raised:
        read_plan(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path}/sweep.toml")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def with_lr(lr: str) -> Plan:
    """The plan of a training function with two arms, of which `mine` has the learning rate `lr` of TOML."""
    text = SPACE.replace("lr = { log = [1e-2, 1.0], published = 0.1 }\ntwist", f"{lr}\ntwist")
    space = parse_space(text, task="train.py:train", source="train.toml")
    return make_plan(task=space.task, methods=("baseline", "mine"), curve_lr=(0.5, 2.0), space=space)


@pytest.mark.parametrize(
    ("lr", "why"),
    [
        ("", "it has no setting lr"),
        (
            'lr = { choice = ["low", "high"], published = "low" }',
            r"its lr is choice \['low', 'high'\], not a number",
        ),
        ("lr = { choice = [0.1, true], published = 0.1 }", r"its lr is choice \[0.1, True\], not a number"),
        ('lr = "auto"', "its lr is fixed 'auto', not a number"),
        (
            'lr = { log = [1e-2, 1.0], published = 0.1, when = "twist == false" }',
            "its trials have an lr only when twist == false",
        ),
    ],
)
def test_a_learning_rate_that_cannot_be_multiplied_is_refused_before_anything_runs(lr, why):
    message = f"--curve-lr 0.5,2: the learning rate of mine cannot be multiplied: {why}; leave the option out"
    with pytest.raises(InvalidInput, match=f"^{message}$"):
        with_lr(lr).check()


@pytest.mark.parametrize("lr", ["lr = 0.1", "lr = { choice = [0.1, 1], published = 0.1 }"])
def test_a_learning_rate_that_is_a_number_can_be_multiplied(lr):
    with_lr(lr).check()


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_file_that_is_not_utf_8_is_refused(encoding, tmp_path):
    (tmp_path / "sweep.toml").write_bytes(make_plan(name="é").to_toml().encode(encoding, "backslashreplace"))
    with pytest.raises(InvalidInput, match=r"sweep\.toml: the file is not UTF-8"):
        read_plan(tmp_path)


def test_a_lock_that_a_killed_process_left_at_the_journal_is_not_waited_for(tmp_path):
    (tmp_path / "optuna.log").write_text("")
    (tmp_path / "optuna.log.lock").symlink_to("optuna.log")
    Protocol(make_plan(), tmp_path).next_trial()
    assert not (tmp_path / "optuna.log.lock").is_symlink()


def test_a_folder_without_a_plan_is_no_experiment(tmp_path):
    with pytest.raises(InvalidInput, match="not an experiment folder"):
        read_plan(tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"trials": 0}, "--trials 0: must be at least 1"),
        ({"confirm_seeds": -1}, "--confirm-seeds -1"),
        ({"workers": 0}, "--workers 0"),
        ({"max_concurrent": 0}, "--max-concurrent 0"),
        ({"methods": ()}, "--methods is empty"),
        ({"methods": ("sgd", "sgd")}, "--methods names 'sgd' twice"),
        ({"methods": ("sgd-irе",)}, "unknown method"),
        ({"trials": 2}, "does not cover one full trial of sam-sgd, 480; raise --trials to 3 or more"),
    ],
)
def test_a_plan_that_cannot_work_is_refused(fields, message):
    with pytest.raises(InvalidInput, match=message):
        make_plan(**{"methods": ("sgd", "sam-sgd"), **fields}).check()


NODES = [Node(cpus=8, gpus=2), Node(cpus=4, gpus=4)]


@pytest.mark.parametrize(
    ("fields", "slots"),
    [
        ({}, 12),
        ({"max_concurrent": 5}, 5),
        ({"workers": 2}, 6),
        ({"workers": 5}, 2),
        ({"cpus_per_worker": 3}, 3),  # two on the first node, one on the second
        ({"gpus_per_worker": 1.0}, 6),
        ({"gpus_per_worker": 0.5}, 8),  # twelve by GPU, but the second node has four CPUs: 4 + 4
        ({"gpus_per_worker": 1.0, "workers": 4}, 1),
    ],
)
def test_concurrency_is_computed_from_the_nodes(fields, slots):
    found = capacity(make_plan(**fields), NODES)
    assert found.slots == slots
    assert f"= {slots} at a time" in found.arithmetic or "--max-concurrent" in found.arithmetic


@pytest.mark.parametrize("fields", [{"workers": 13}, {"cpus_per_worker": 9}, {"gpus_per_worker": 5.0}])
def test_a_trial_that_can_never_fit_is_refused_with_the_arithmetic(fields):
    with pytest.raises(InvalidInput, match=r"a trial needs .* and 2 nodes with 12 CPUs and 6 GPUs hold"):
        capacity(make_plan(**fields), NODES)


def test_numbers_of_numpy_are_written_as_numbers_and_what_toml_has_no_word_for_is_refused():
    assert (
        toml_text({"horizon": np.int64(20), "lr": [np.float64(0.1)]}) == "horizon = 20\nlr = [\n    0.1,\n]\n"
    )
    with pytest.raises(InvalidInput, match=r"^arms\.mine\.what cannot be written as TOML"):
        toml_text({"horizon": 2, "arms": {"mine": {"lr": 1, "what": object()}}})
