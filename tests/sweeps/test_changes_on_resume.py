"""What a resume may change: more trials, more methods, other versions; and what it may not."""

import dataclasses
import io
import json
import shutil

import pytest
from simulated import make_plan, simulate, table
from small_space import space_with

import ire.sweeps.records.records as records_module
from ire.invalid_input import InvalidInput
from ire.sweeps.experiments import launch
from ire.sweeps.experiments.run_plan import _changed_versions
from ire.sweeps.plan.changes import check_identity, extended, identity
from ire.sweeps.plan.plan import Plan
from ire.sweeps.plan.provenance import code_checksum, differences, versions
from ire.sweeps.records.records import CONFIRM, CONTROL, CURVE, SEARCH, Records, read_records
from ire.sweeps.search.protocol import Protocol


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A finished sweep of two methods and three trials each."""
    folder = tmp_path_factory.mktemp("swept")
    plan = make_plan(trials=4, confirm_seeds=2, methods=("sgd", "sgd-ire"))
    simulate(plan, folder)
    return plan, folder


def continued(swept, tmp_path, **changes):
    plan, folder = swept
    shutil.copytree(folder, tmp_path / "again")
    return simulate(extended(plan, **changes), tmp_path / "again"), table(Protocol(plan, folder))


def test_a_raised_budget_continues_the_same_studies(swept, tmp_path):
    protocol, before = continued(swept, tmp_path, trials=10)
    assert table(protocol)[: len(before)] == before, "nothing ran again"
    fresh = simulate(make_plan(trials=10, confirm_seeds=2, methods=("sgd", "sgd-ire")), _new(tmp_path))
    for method in ("sgd", "sgd-ire"):
        assert len(searched(protocol, method)) > 4
        assert searched(protocol, method) == searched(fresh, method)
    assert protocol.is_over


def test_an_added_method_gets_the_same_budget_and_leaves_the_others_as_they_are(swept, tmp_path):
    protocol, before = continued(swept, tmp_path, methods=["sgd", "adamw"])
    assert protocol.plan.methods == ("sgd", "sgd-ire", "adamw")
    assert table(protocol)[: len(before)] == before
    fresh = simulate(
        make_plan(trials=4, confirm_seeds=2, methods=("sgd", "sgd-ire", "adamw")), _new(tmp_path)
    )
    assert searched(protocol, "adamw") == searched(fresh, "adamw")
    later = list(protocol.records.trials.values())[len(before) :]
    assert {t.arm for t in later if t.stage == SEARCH} == {"adamw"}


def test_curve_controls_and_seeds_are_added_and_nothing_runs_again(swept, tmp_path):
    protocol, before = continued(swept, tmp_path, confirm_seeds=3, curve=(2.0, 0.5), controls=True)
    assert protocol.plan.curve == (0.5, 2.0)
    assert table(protocol)[: len(before)] == before
    later = list(protocol.records.trials.values())[len(before) :]
    assert {t.stage for t in later} == {CONFIRM, CURVE, CONTROL}
    assert [len(arm.confirm) for arm in protocol.arms.values()] == [3, 3]


def searched(protocol, method) -> list:
    """The search trials of one method and what became of them."""
    trials = protocol.records.trials.values()
    return [(t.spec, t.status) for t in trials if t.arm == method and t.stage == SEARCH]


def _new(tmp_path):
    (tmp_path / "fresh").mkdir()
    return tmp_path / "fresh"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 3}, "--trials 3: the sweep already has 4; a budget can be raised, not lowered"),
        ({"confirm_seeds": 1}, "--confirm-seeds 1: the sweep already has 2"),
        ({"curve": (0.01,)}, "--curve-horizons 0.01: must be distinct factors between 1/16 and 16"),
        ({"methods": ["adamw", "sdg"]}, "did you mean 'sgd'"),
        ({"max_concurrent": 0}, "--max-concurrent 0: must be at least 1"),
        ({"hang_seconds": 0.0}, "--hang-seconds 0.0: must be at least 1"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused_by_name(swept, changes, message):
    with pytest.raises(InvalidInput, match=message):
        extended(swept[0], **changes)


def other_horizon(plan: Plan) -> Plan:
    return dataclasses.replace(plan, space=space_with({"horizon": 480}, source=plan.space.source))


def other_range(plan: Plan) -> Plan:
    wider = {"sgd": {"lr": {"log": [0.01, 2.0], "published": 0.1}}}
    return dataclasses.replace(plan, space=space_with(wider, source=plan.space.source))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plan: dataclasses.replace(plan, seed=1), "seed was 0, is 1"),
        (lambda plan: dataclasses.replace(plan, workers=2), "workers was 1, is 2"),
        (lambda plan: dataclasses.replace(plan, task="stdlib-lm"), "task was 'digits', is 'stdlib-lm'"),
        (other_horizon, "horizon was 240, is 480"),
        (other_range, "space was '[0-9a-f]{12}', is '[0-9a-f]{12}'"),
    ],
)
def test_a_sweep_toml_whose_trials_could_not_be_compared_any_more_is_refused(
    swept, tmp_path, change, message
):
    plan, folder = swept
    shutil.copytree(folder, tmp_path / "again")
    records = read_records(tmp_path / "again")
    check_identity(
        change(plan), records, source="sweep.toml"
    )  # no run on record yet: nothing to compare with
    records.run(identity=identity(plan), versions=versions(plan.task))
    again = read_records(tmp_path / "again")
    check_identity(extended(plan, trials=9, methods=["adamw"]), again, source="sweep.toml")
    with pytest.raises(InvalidInput, match=f"sweep.toml: .*{message}.*could not be compared"):
        check_identity(change(plan), again, source="sweep.toml")


def test_every_run_is_recorded_with_its_versions_and_a_change_is_told(swept, tmp_path):
    plan, folder = swept
    shutil.copytree(folder, tmp_path / "again")
    records = read_records(tmp_path / "again")
    now = versions(plan.task)
    records.run(identity=identity(plan), versions=now | {"torch": "2.0.0"})
    records.run(identity=identity(plan), versions=now)
    lines = [json.loads(line) for line in (tmp_path / "again" / "trials.jsonl").read_text().splitlines()]
    assert [line["versions"]["torch"] for line in lines if line["event"] == "run"] == ["2.0.0", now["torch"]]
    runs = read_records(tmp_path / "again").runs
    assert differences(runs[0]["versions"], runs[1]["versions"]) == [f"torch 2.0.0 -> {now['torch']}"]
    assert set(now) >= {"python", "ire", "torch", "ray", "optuna", "numpy", "code"}
    assert now["code"] == code_checksum()
    assert len(now["code"]) == 12


def test_a_task_of_ones_own_that_was_changed_is_told_on_a_resume(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "my_changing_task.py"
    module.write_text("ONE = 1\n")
    plan, records = make_plan(task="my_changing_task:Mine@tiny"), Records(tmp_path)
    before = versions(plan.task)
    records.run(identity=identity(plan), versions=before)
    assert _changed_versions(plan, records) == []
    module.write_text("ONE = 2\n")
    (line,) = _changed_versions(plan, records)
    assert line.endswith(f"(recorded): task {before['task']} -> {versions(plan.task)['task']}")
    assert "task" not in versions("digits")
    assert "task" not in versions("my_missing_package.module:Mine")


def test_a_resume_of_a_finished_sweep_reads_its_plan_and_its_records_once(tmp_path, monkeypatch):
    plan = make_plan(trials=2, confirm_seeds=0, methods=("sgd",))
    simulate(plan, tmp_path)
    (tmp_path / "sweep.toml").write_text(plan.to_toml())
    opened = []
    open_file = io.open
    monkeypatch.setattr(
        io, "open", lambda file, *a, **o: opened.append(str(file)) or open_file(file, *a, **o)
    )
    lines = records_module.numbered_lines
    read = []
    monkeypatch.setattr(records_module, "numbered_lines", lambda path: read.append(path.name) or lines(path))
    experiment = launch.resume(tmp_path)
    assert experiment.is_complete
    assert opened.count(str(tmp_path / "sweep.toml")) == 1
    assert sorted(read) == ["results.jsonl", "trials.jsonl"]
    versions_in_report = json.loads((tmp_path / "report" / "report.json").read_text())["versions"]
    assert versions_in_report == experiment.versions == versions(plan.task)


def test_a_changed_sweep_toml_is_refused_before_damaged_records_are_repaired(tmp_path):
    plan = make_plan(trials=2, confirm_seeds=0, methods=("sgd",))
    Records(tmp_path).run(identity=identity(plan), versions=versions(plan.task))
    simulate(plan, tmp_path)
    events = (tmp_path / "trials.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "trials.jsonl").write_text("".join(events[:-2]))
    (tmp_path / "sweep.toml").write_text(dataclasses.replace(plan, seed=1).to_toml())
    with pytest.raises(InvalidInput, match="seed was 0, is 1"):
        launch.resume(tmp_path)
    assert (tmp_path / "trials.jsonl").read_text() == "".join(events[:-2])
