"""Trackers beside TensorBoard: what they are told of a sweep, and that nothing they do ends it."""

import sys
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import pytest
from simulated import make_plan, simulate

from ire.invalid_input import InvalidInput
from ire.sweeps.records.records import TIMING
from ire.sweeps.search.protocol import Protocol
from ire.sweeps.watch.loggers import check_loggers, loggers
from ire.sweeps.watch.watcher import Watcher

PLAN = {"methods": ("sgd", "sgd-ire"), "trials": 2, "confirm_seeds": 1, "curve": (2.0,)}


def follow(watcher, folder):
    """Tell it of a whole simulated sweep; returns the trials that trackers see."""
    plan = make_plan(**PLAN)
    simulate(plan, folder)
    protocol = Protocol(plan, folder)
    watcher.opened(protocol)
    for trial in protocol.records.trials.values():
        watcher.started(trial)
        for report in trial.reports:
            watcher.reported(trial, report, {})
        watcher.ended(trial)
    watcher.closed()
    return [trial for trial in protocol.records.trials.values() if trial.stage != TIMING]


class Run(SimpleNamespace):
    def log(self, values, step):
        self.logged.append((step, values["loss/val_loss"]))

    def finish(self, exit_code):
        self.exit_code = exit_code


@pytest.fixture
def wandb(monkeypatch):
    """A module in the place of wandb that keeps what it is told."""
    module = ModuleType("wandb")
    module.runs = []

    def init(**options):
        module.runs.append(Run(options=options, logged=[], summary={}, exit_code=None))
        return module.runs[-1]

    module.init, module.Settings = init, SimpleNamespace
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delitem(sys.modules, "ire.sweeps.watch.wandb_logger", raising=False)
    yield module
    sys.modules.pop("ire.sweeps.watch.wandb_logger", None)


def test_wandb_has_a_run_a_trial_with_its_settings_curve_and_end(wandb, tmp_path):
    (tracker,) = loggers(["wandb"], make_plan(**PLAN), pytest.fail)
    trials = follow(tracker, tmp_path)
    assert [run.options["name"] for run in wandb.runs] == [trial.name for trial in trials]
    for run, trial in zip(wandb.runs, trials, strict=True):
        assert run.options["group"] == f"simulated/{trial.arm}" and run.options["job_type"] == trial.stage
        assert run.options["config"]["lr"] == trial.spec.settings["lr"]
        assert [step for step, _ in run.logged] == [report["step"] for report in trial.reports]
        assert run.summary["status"] == trial.status
        assert run.exit_code == int(trial.status in ("diverged", "failed"))


@pytest.mark.skipif(find_spec("mlflow") is None, reason="needs mlflow or mlflow-skinny")
def test_mlflow_has_a_run_a_trial_with_its_settings_curve_and_end(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    (tracker,) = loggers(["mlflow"], make_plan(**PLAN), pytest.fail)
    trials = follow(tracker, tmp_path)
    from mlflow import MlflowClient

    client = MlflowClient()
    experiment = client.get_experiment_by_name("simulated")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {trial.name for trial in trials}
    trial = trials[0]
    run = runs[trial.name]
    assert (
        float(run.data.params["lr"]) == trial.spec.settings["lr"] and run.data.tags["status"] == trial.status
    )
    curve = client.get_metric_history(run.info.run_id, "loss/val_loss")
    assert [(m.step, m.value) for m in curve] == [(r["step"], r["val_loss"]) for r in trial.reports]


def test_what_a_tracker_raises_is_said_once_and_ends_nothing(monkeypatch, tmp_path):
    class Failing(Watcher):
        def __init__(self, plan):
            pass

        def started(self, trial):
            raise ConnectionError("no network")

    point = SimpleNamespace(load=lambda: Failing)
    monkeypatch.setattr("ire.sweeps.watch.loggers.registered", lambda group: {"mine": point})
    said = []
    (tracker,) = loggers(["mine"], make_plan(**PLAN), said.append)
    follow(tracker, tmp_path)
    assert said == ["--loggers mine failed and is no longer called: ConnectionError: no network"]


def test_an_unknown_tracker_is_refused():
    with pytest.raises(InvalidInput, match=r"unknown logger 'wandbb' in --loggers: did you mean 'wandb'"):
        check_loggers(["wandbb"])


def test_a_missing_package_is_named_with_the_command_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.delitem(sys.modules, "ire.sweeps.watch.mlflow_logger", raising=False)
    with pytest.raises(
        InvalidInput, match=r"--loggers mlflow: the package 'mlflow' is not installed: pip install"
    ):
        check_loggers(["mlflow"])
