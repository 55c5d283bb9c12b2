"""A sweep runs on one data set: a resume on other data is refused, and so are nodes that hold different data."""

from pathlib import Path

import pytest
import ray
import torch
from simulated import make_plan
from small_space import space_text

import ire.sweeps.ray.data_on_nodes as data_on_nodes
import trainables.tasks.digits as digits
import trainables.tasks.stdlib_lm as stdlib_lm
from ire import open_experiment, resume, sweep
from ire.invalid_input import InvalidInput
from ire.sweeps.experiments.preflight import on_data
from ire.sweeps.ray.data_on_nodes import Found, one_identity
from trainables.task import load_task
from trainables.task_data.prepare import prepare

SMALL = {"horizon": 8, "eval_interval": 4, "search": {"rungs": [], "budget_per_trial": 1.0}}


@pytest.fixture
def swept(tmp_path):
    """Runs a sweep of one short trial of a task in this process; returns its folder."""

    def run(task: str) -> Path:
        space = tmp_path / "space.toml"
        space.write_text(space_text(SMALL | ({"tiny": SMALL} if task.endswith("@tiny") else {}), task=task))
        given = {"methods": ["sgd"], "trials": 1, "confirm_seeds": 0, "curve": False, "studies": 1}
        return sweep(task, inline=True, name="small", space=space, storage=tmp_path, **given).folder

    return run


def test_a_resume_on_another_text_is_refused_with_both_names(swept, tmp_path, monkeypatch):
    monkeypatch.setenv("IRE_DATA", str(tmp_path / "data"))
    for name, words in (("A", "the cat sat"), ("B", "sat the cat")):
        (tmp_path / name).mkdir()
        for split in ("train", "valid", "test"):
            (tmp_path / name / f"{split}.txt").write_text(f"{words} on the mat\n" * 400)
    prepare("wikitext2", source=tmp_path / "A", say=lambda _: None)
    folder = swept("wikitext2@tiny")
    begun_on = load_task("wikitext2").data_identity()
    prepare("wikitext2", source=tmp_path / "B", replace=True, say=lambda _: None)
    with pytest.raises(InvalidInput) as refused:
        resume(folder, inline=True, trials=2)
    assert begun_on in str(refused.value) and load_task("wikitext2").data_identity() in str(refused.value)
    assert "the sweep 'small' was made with the data" in str(refused.value)
    prepare("wikitext2", source=tmp_path / "A", replace=True, say=lambda _: None)
    assert resume(folder, inline=True, trials=2).is_complete


def test_a_resume_with_other_digits_is_refused_and_says_what_to_do(swept, monkeypatch):
    folder = swept("digits")
    begun_on = load_task("digits").data_identity()
    assert open_experiment(folder).plan.data == begun_on
    images, labels = digits.bundled()
    monkeypatch.setattr(digits, "bundled", lambda: (images.flip(0), labels))
    with pytest.raises(InvalidInput) as refused:
        resume(folder, inline=True, trials=2)
    assert begun_on in str(refused.value) and load_task("digits").data_identity() in str(refused.value)
    assert "run it with the Python and the packages it began with" in str(refused.value)


@pytest.mark.parametrize("changed", [{"a.py": b"y"}, {"b.py": b"x"}, {"a.py": b"x", "b.py": b""}])
def test_the_text_of_the_standard_library_is_known_by_names_and_content(changed, monkeypatch):
    identities = []
    for corpus in ({"a.py": b"x"}, changed):
        monkeypatch.setattr(stdlib_lm, "corpus", lambda found=corpus: found)
        identities.append(load_task("stdlib-lm").data_identity())
    assert identities[0] != identities[1]
    assert all(line.startswith("stdlib-lm sha256 ") and ", of Python 3." in line for line in identities)


@pytest.mark.parametrize("task", ["digits", "stdlib-lm"])
def test_the_data_that_a_task_makes_is_the_same_in_every_study(task):
    assert load_task(task).in_study(2).data_identity() == load_task(task).data_identity()
    one, two = (load_task(task).in_study(number).splits["test"] for number in (0, 2))
    assert all(map(torch.equal, *((part if isinstance(part, tuple) else (part,)) for part in (one, two))))


# Nodes of a cluster


def test_nodes_with_one_data_set_have_its_identity():
    assert one_identity(
        "t", [Found(host="a", identity="t sha256 1"), Found(host="b", identity="t sha256 1")]
    ) == ("t sha256 1")
    assert one_identity("t", []) is None


def test_nodes_with_different_data_are_refused_with_their_names_and_both_data_sets():
    found = [
        Found(host=host, identity=f"t sha256 {number}") for host, number in (("a", 1), ("b", 2), ("c", 1))
    ]
    with pytest.raises(
        InvalidInput, match=r"different data for t: 't sha256 1' on a, c; 't sha256 2' on b; prepare"
    ):
        one_identity("t", found)


def test_a_node_without_the_data_is_named():
    with pytest.raises(
        InvalidInput, match="t cannot be trained on b, a node of the cluster: no data, run `ire data"
    ):
        one_identity(
            "t", [Found(host="a", identity="t"), Found(host="b", problem="no data, run `ire data ...`")]
        )


def test_every_machine_that_can_hold_a_worker_is_asked_once(monkeypatch):
    nodes = [
        ("n1", "here", 2, 0),
        ("n2", "there", 2, 0),
        ("n3", "there", 2, 0),
        ("n4", "head", 0, 0),
        ("n5", "far", 1, 1),
    ]
    told = [
        {
            "NodeID": node,
            "NodeManagerAddress": address,
            "NodeManagerHostname": f"{address}.example",
            "Resources": {"CPU": cpus, "GPU": gpus},
        }
        for node, address, cpus, gpus in nodes
    ]
    monkeypatch.setattr(data_on_nodes, "alive_nodes", lambda: told)
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "here")
    here, others = data_on_nodes.machines(make_plan())
    assert (here, others) == (True, {"n3": "there.example", "n5": "far.example"})
    assert data_on_nodes.machines(make_plan(gpus_per_worker=1.0)) == (False, {"n5": "far.example"})


@pytest.fixture
def other_node(monkeypatch):
    """Makes a cluster of this machine and one other, which answers what is given."""

    def with_answer(answer):
        monkeypatch.setattr(data_on_nodes, "machines", lambda plan: (True, {"n2": "there"}))
        monkeypatch.setattr(data_on_nodes, "asked", lambda nodes, *question: dict.fromkeys(nodes, answer))

    return with_answer


def test_a_cluster_that_holds_one_data_set_gives_a_new_sweep_its_identity(other_node):
    identity = load_task("digits").data_identity()
    other_node(Found(host="there", identity=identity))
    plan = make_plan()
    assert on_data(plan, data_on_nodes.data_on_nodes(plan), is_new=True).data == identity


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Found(host="there", identity="digits sha256 0"), "'digits sha256 0' on there"),
        ("there: no answer within 60 s", "cannot be trained on there, .*: there: no answer within 60 s"),
    ],
)
def test_a_cluster_whose_other_node_has_other_data_or_does_not_answer_is_refused(answer, message, other_node):
    other_node(answer)
    with pytest.raises(InvalidInput, match=message):
        data_on_nodes.data_on_nodes(make_plan())


def test_a_task_whose_data_has_no_identity_asks_nobody(other_node, monkeypatch):
    monkeypatch.setattr(digits.Digits, "data_identity", data_on_nodes.Task.data_identity)
    other_node(Found(host="there", identity="digits sha256 0"))
    assert data_on_nodes.data_on_nodes(make_plan()) is None


def test_a_sweep_is_not_continued_on_a_cluster_with_other_data():
    plan = make_plan(data="digits sha256 0")
    assert on_data(plan, "digits sha256 0", is_new=False) == plan
    with pytest.raises(
        InvalidInput, match="made with the data 'digits sha256 0', but the data is 'digits sha256 1'"
    ):
        on_data(plan, "digits sha256 1", is_new=False)
    older = make_plan(data=None)
    assert on_data(older, "digits sha256 1", is_new=False) == older, "it did not record its data"
