"""A folder that somebody else has made runs none of its code until that is allowed, once."""

import shlex
import shutil
import sys
import tomllib

import pytest
import tomli_w
from simulated import make_plan, simulate
from typer.testing import CliRunner

from ire.invalid_input import InvalidInput
from ire.sweeps.command.app import app
from ire.sweeps.experiments.experiment import open_experiment
from ire.sweeps.experiments.launch import resume
from ire.sweeps.plan import trust
from ire.sweeps.records.records import read_records
from ire.sweeps.report import as_json
from ire.sweeps.search.protocol import Protocol

TRACE = "open({trace!r}, 'w').close()\n"
TASK = "from trainables.tasks.digits import Digits\nclass Mine(Digits):\n    pass\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A finished experiment whose task lies in the folder itself; its code leaves `trace`."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "sweep"
    package = folder / f"strange_{tmp_path.name.rstrip('_')}"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(TRACE.format(trace=str(tmp_path / "trace")))
    (package / "tasks.py").write_text(TASK)
    plan = make_plan(methods=("sgd",), trials=2, confirm_seeds=0, curve=(), import_path=(str(folder),))
    simulate(plan, folder)
    text = plan.to_toml().replace('task = "digits"', f'task = "{package.name}.tasks:Mine"')
    (folder / "sweep.toml").write_text(text)
    for name in ("trials.jsonl", "results.jsonl"):
        path = folder / name
        path.write_text(path.read_text().replace('"task": "digits"', f'"task": "{package.name}.tasks:Mine"'))
    return folder


def with_values(text: str, **values) -> str:
    """The `sweep.toml` with other values, each of which it must have had."""
    table = tomllib.loads(text)
    assert values.keys() <= table.keys()
    return tomli_w.dumps(table | values)


def ran(folder):
    return (folder.parent / "trace").exists()


def invoke(*arguments):
    return CliRunner().invoke(app, list(arguments))


def test_looking_at_it_runs_nothing_and_a_resume_is_refused_with_the_file(folder):
    for command in ("status", "export"):
        assert invoke(command, str(folder)).exit_code == 0
    result = invoke("resume", str(folder))
    assert isinstance(result.exception, InvalidInput)
    assert f"would run from '{folder}/strange_" in str(result.exception)
    assert "add --trust" in str(result.exception)
    assert not ran(folder)


@pytest.mark.parametrize("method", ["sgd", "torch.optim:NAdam"])
def test_where_nothing_strange_is_named_no_package_is_looked_for_in_the_folder(method, folder, monkeypatch):
    monkeypatch.setattr("ire.sweeps.experiments.launch.run_plan", lambda plan, *_, **__: plan)
    monkeypatch.chdir(folder)
    plan = make_plan(methods=(method,), trials=2, confirm_seeds=0, curve=(), import_path=(str(folder),))
    (folder / "sweep.toml").write_text(plan.to_toml())
    for name in ("trials.jsonl", "results.jsonl"):
        (folder / name).unlink()
    open_experiment(folder)
    assert resume(folder).import_path == ()
    assert str(folder) not in sys.path


def test_a_task_is_one_word_of_the_command_that_repeats_the_sweep(folder):
    text = (folder / "sweep.toml").read_text()
    (folder / "sweep.toml").write_text(with_values(text, task="x.py:train; touch trace"))
    assert shlex.split(as_json(open_experiment(folder))["reproduce"])[2] == "x.py:train; touch trace"


def test_trust_is_asked_for_once(folder, monkeypatch):
    monkeypatch.setattr("ire.sweeps.experiments.launch.run_plan", lambda plan, *_, **__: plan)
    resume(folder, trust=True)
    assert ran(folder)
    resume(folder)
    copy = folder.parent / "copy"
    shutil.copytree(folder, copy)
    resume(copy)  # its sweep.toml names the same file
    text = (copy / "sweep.toml").read_text()
    (copy / "sweep.toml").write_text(with_values(text, import_path=[str(copy)]))
    sys.path.remove(str(folder))
    with pytest.raises(InvalidInput, match=f"would run from '{copy}"):
        resume(copy)


def test_what_this_user_has_run_is_trusted(folder, monkeypatch):
    monkeypatch.setattr("ire.sweeps.experiments.launch.run_plan", lambda plan, *_, **__: plan)
    trust.remember([next(folder.glob("strange_*")).name], [str(folder)])
    resume(folder)


def test_without_a_place_for_notes_it_is_asked_for_each_time(folder, monkeypatch, tmp_path):
    monkeypatch.setattr("ire.sweeps.experiments.launch.run_plan", lambda plan, *_, **__: plan)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    resume(folder, trust=True)
    with pytest.raises(InvalidInput, match="add --trust"):
        resume(folder)


@pytest.mark.parametrize("where", ["methods", "space", "default_methods"])
def test_a_method_of_a_strange_module_is_imported_by_nobody_who_only_looks(where, folder, monkeypatch):
    (folder / "strange_method.py").write_text(TRACE.format(trace=str(folder.parent / "trace")))
    monkeypatch.chdir(folder)
    text = make_plan(methods=("sgd",), trials=2, confirm_seeds=0, curve=()).to_toml()
    source = tomllib.loads(text)["space"]
    space = tomllib.loads(source["text"])

    def searched(**more):
        return {"space": source | {"text": tomli_w.dumps(space | more)}}

    changed = {
        "methods": {"methods": ["sgd", "strange_method:Opt-ire"]},
        "space": searched(**{"strange_method:Opt": {"lr": 1}}),
        "default_methods": searched(default_methods=["strange_method:Opt", *space["default_methods"]]),
    }[where]
    (folder / "sweep.toml").write_text(with_values(text, **changed))
    for command in ("status", "report", "export", "resume"):
        result = invoke(command, str(folder))
        assert isinstance(result.exception, InvalidInput), command
        assert "'strange_method', whose code would run" in str(result.exception)
    assert not ran(folder)


def test_a_trial_of_a_class_that_the_plan_does_not_name_is_refused(folder):
    path = folder / "trials.jsonl"
    path.write_text(path.read_text().replace('"method": "sgd"', '"method": "strange_method:Opt"'))
    with pytest.raises(InvalidInput, match=r"a trial of 'strange_method:Opt', which is not in sweep\.toml"):
        open_experiment(folder).records  # noqa: B018
    with pytest.raises(InvalidInput, match="a trial of 'strange_method:Opt'"):
        Protocol(make_plan(methods=("sgd",), trials=2, confirm_seeds=0, curve=()), folder)
    assert read_records(folder).trials


@pytest.mark.parametrize(
    "module", ["torch.optim", "json.tool", "trainables.tasks.digits", "sys", "no_such_module"]
)
def test_what_is_installed_is_trusted_and_what_is_not_there_runs_nothing(module):
    trust.check_trusted([module], [], source="sweep.toml")
