"""Sweeps from Python: functions that a file holds or that none does, spaces as dictionaries, results in a notebook."""

import functools
import sys
import types

import own_script
import pytest

from ire import open_experiment, resume, sweep, verdict
from ire.invalid_input import InvalidInput
from ire.sweeps.plan.provenance import versions
from ire.sweeps.records.records import FINISHED, RUNNING, read_records
from trainables.functions import in_process
from trainables.functions.function import IMPORTING, load_workload
from trainables.functions.in_process import name_of

SPACE = {
    "horizon": 8,
    "eval_interval": 2,
    "search": {"trials": 2, "budget_per_trial": 1.0, "rungs": []},
    "confirm": {"seeds": 2, "studies": 1, "candidates": 1},
    "arms": {
        "baseline": {"role": "baseline", "lr": {"log": (1e-2, 1.0), "published": 0.1}},
        "mine": {"lr": {"log": [1e-2, 1.0], "published": 0.1}, "kind": "soft"},
    },
}


def in_no_file(floor: float = 0.5, *, stop_at: list[int] | None = None):
    """A function as a notebook has it: a closure that cannot be imported."""

    def train(trial):
        at = 0.0
        for step in range(trial.first_step, trial.horizon):
            at += 0.1 / (1 + abs(trial.settings["lr"] - 0.1))
            if stop_at and stop_at.pop() == 0:
                raise KeyboardInterrupt
            if trial.due(step + 1):
                loss = floor + 1 / (1 + at) + 1e-4 * (trial.seed % 97)
                trial.report(step + 1, train_loss=loss, val_loss=loss)

    return train


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Starts a sweep of the space above in this process, without the report's figures."""
    monkeypatch.setattr("ire.sweeps.experiments.experiment.write_report", lambda *_: None)

    def start(function, **options):
        given = {"space": SPACE, "inline": True, "storage": tmp_path, "name": "own", "curve": False}
        return sweep(function, **given | options)

    return start


@pytest.fixture
def another_process(monkeypatch):
    """Forgets the functions that this process was given, as another one never had them."""

    def forget():
        monkeypatch.setattr(in_process, "_FUNCTIONS", {})

    return forget


def test_a_function_that_no_file_holds_is_swept_with_a_space_that_is_a_dictionary(call):
    experiment = call(in_no_file())
    assert experiment.is_complete
    assert experiment.plan.task == "<python>:train"
    assert {t.status for t in experiment.records.trials.values()} == {FINISHED}
    assert set(experiment.trials["settings.lr"]) > {0.1}
    assert open_experiment(experiment.folder).plan == experiment.plan


def test_another_process_resumes_it_only_with_the_function_and_says_so(call, another_process):
    whole = call(in_no_file(), name="whole")
    experiment = call(in_no_file(stop_at=[0, *[1] * 20]))
    assert [t.status for t in read_records(experiment.folder).trials.values()].count(RUNNING) == 1
    another_process()
    with pytest.raises(
        InvalidInput, match=r"comes from a notebook.*from train import train; resume\(FOLDER, train\)"
    ):
        resume(experiment.folder, inline=True)
    assert resume(experiment.folder, in_no_file(), inline=True).is_complete

    def rows(folder):
        trials = read_records(folder).trials.values()
        return [(t.spec, t.status, [r["val_loss"] for r in t.reports]) for t in trials if t.stage != "timing"]

    assert rows(experiment.folder) == rows(whole.folder)


def test_a_resume_of_a_function_that_is_found_by_its_name_takes_no_other(call, tmp_path):
    name = own_script.write(tmp_path / "code")
    experiment = call(name, space=None)
    with pytest.raises(InvalidInput, match=r"train\.py:train is found by its name; leave the function out"):
        resume(experiment.folder, in_no_file(), inline=True)


def test_a_function_of_a_module_is_recorded_by_where_it_is(tmp_path, monkeypatch):
    (tmp_path / "my_own_loop.py").write_text("def train(trial): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    import my_own_loop

    assert name_of(my_own_loop.train) == "my_own_loop:train"
    assert load_workload("my_own_loop:train").call is my_own_loop.train


def test_a_function_of_the_script_that_runs_is_recorded_by_the_scripts_path(tmp_path, monkeypatch):
    script = tmp_path / "train.py"
    script.write_text("def train(trial): ...\n")
    main = types.ModuleType("__main__")
    main.__file__ = str(script)
    exec(script.read_text(), vars(main))
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert name_of(main.train) == f"{script}:train"
    main.__file__ = "<stdin>"
    assert name_of(main.train) == "<python>:train", "in a script that `python -` reads"
    del main.__file__
    assert name_of(main.train) == "<python>:train", "in a notebook"


def test_a_script_that_sweeps_when_it_is_imported_is_refused(tmp_path):
    (tmp_path / "endless.py").write_text("from ire import sweep\n\ndef train(trial): ...\n\nsweep(train)\n")
    message = r"endless\.py:train starts a sweep when it is imported: put the call below `if __name__"
    with pytest.raises(InvalidInput, match=message):
        load_workload("endless.py:train", [str(tmp_path)])
    assert not IMPORTING


def test_a_script_that_exits_when_it_is_imported_is_refused(tmp_path):
    (tmp_path / "exits.py").write_text("import sys\n\ndef train(trial): ...\n\nsys.exit(train(None))\n")
    with pytest.raises(
        InvalidInput, match=r"import of 'exits' called sys.exit\(\); put what only the script"
    ):
        load_workload("exits.py:train", [str(tmp_path)])
    assert not IMPORTING


def test_a_partial_and_a_lambda_are_functions_that_no_file_holds(call, another_process):
    partial = functools.partial(lambda floor, trial: in_no_file(floor)(trial), 0.4)
    assert call(partial).plan.task == "<python>:function"
    experiment = call(lambda trial: in_no_file()(trial), name="other")
    assert experiment.is_complete
    another_process()
    with pytest.raises(InvalidInput, match=r"from train import train; resume\(FOLDER, train\)"):
        resume(experiment.folder, inline=True)


def test_a_changed_function_has_another_checksum(call):
    before = versions(name_of(in_no_file()))["task"]

    def train(trial):
        return trial

    assert versions(name_of(train))["task"] != before


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (in_no_file(), {"space": None}, "a function that is not in a file needs a space"),
        (
            in_no_file(),
            {"space": SPACE | {"horizn": 3}},
            r"unknown key 'horizn' in space=\{...\}: did you mean",
        ),
        (lambda: None, {}, "a training function is called with one argument, the trial"),
        (int, {}, "must be a task's name, as in 'my_tasks:MyTask', or a training function"),
        (7, {}, "must be a task's name"),
    ],
)
def test_what_cannot_be_swept_is_refused(call, tmp_path, function, options, message):
    with pytest.raises(InvalidInput, match=message):
        call(function, **options)
    assert not (tmp_path / "own").exists()


def test_an_experiment_says_its_verdict_its_settings_and_itself_in_a_notebook(call):
    experiment = call(in_no_file())
    assert experiment.verdict.startswith("<python>:train: no configuration is shown to end lower or higher")
    assert str(experiment) == experiment.verdict
    assert repr(experiment) == f"open_experiment({str(experiment.folder)!r})"
    assert experiment.best_settings("mine") == {"lr": 0.1, "kind": "soft"}
    with pytest.raises(InvalidInput, match="unknown method 'min' in own: did you mean 'mine'"):
        experiment.best_settings("min")
    shown = experiment._repr_html_()
    assert "&lt;python&gt;:train" in shown
    assert "<th>method</th>" in shown
    assert "<python>" not in shown


def test_settings_are_those_of_the_study_that_ends_lowest(call):
    experiment = call(in_no_file(), studies=2)
    winners = {w.study: w for w in experiment.comparison.row("mine").winners}
    runs = [t for t in experiment.records.trials.values() if (t.stage, t.arm) == ("confirm", "mine")]
    means = {s: sum(t.val_loss for t in runs if t.study == s) for s in winners}
    assert experiment.best_settings("mine") == winners[min(means, key=means.get)].settings


def test_settings_of_a_method_without_a_finished_trial_are_refused(call):
    def diverges(trial):
        trial.report(2, train_loss=float("nan"), val_loss=float("nan"))

    with pytest.raises(InvalidInput, match="no trial of mine has finished yet"):
        call(diverges, confirm_seeds=0).best_settings("mine")


def test_a_verdict_on_curves_is_shown_in_a_notebook(tmp_path):
    rows = [
        f"{arm},{n},10,{3 - 0.1 * (arm == 'mine') + 0.001 * n}"
        for arm in ("baseline", "mine")
        for n in range(3)
    ]
    (tmp_path / "c.csv").write_text("\n".join(["arm,run,step,val_loss", *rows]))
    assert "about configurations" in verdict(tmp_path / "c.csv")._repr_html_()
