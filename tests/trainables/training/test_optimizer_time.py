"""What the optimizer alone takes of a step is measured where a step is timed, and nowhere else."""

import pytest
import torch

from ire.methods.method import parse_method
from ire.trial.spec import TrialSpec
from trainables.task import load_task
from trainables.training import optimizer_time
from trainables.training.training import Training


def report_of(method, *, timing=True, **settings):
    arm = parse_method(method)
    given = {"lr": 0.01, "kappa": 1.0, "gamma": 0.5, "start_fraction": 0.0, "interval": 4, "rho": 0.05}
    known = arm.settings | arm.options
    own = {name: value for name, value in (given | settings).items() if name in known}
    spec = TrialSpec(
        task="digits",
        method=method,
        settings=arm.resolve(own),
        seed=0,
        horizon=8,
        eval_interval=8,
        timing=timing,
    )
    training = Training(load_task("digits"), spec, device=torch.device("cpu"))
    while training.step < spec.horizon:
        training.advance()
    return training.report()


@pytest.mark.parametrize("method", ["sgd", "adamw", "sgd-ire", "sam-sgd", "sam-adamw-ire"])
def test_it_is_a_part_of_a_step(method):
    report = report_of(method)
    assert 0 < report["optimizer_seconds"] < report["seconds"] / report["step"]


def test_masks_that_are_due_are_no_part_of_it(monkeypatch):
    clock, due = iter(range(1000)), []
    monkeypatch.setattr(optimizer_time, "_now", lambda device: next(clock))
    monkeypatch.setattr(
        optimizer_time, "_fill", lambda model, fill=optimizer_time._fill: due.append(fill(model))
    )
    assert (
        report_of("sgd-ire", interval=1)["optimizer_seconds"] == 1
    )  # from one look at the clock to the next
    assert len(due) == 2 * optimizer_time.STEPS  # a mask and a step each time


def test_a_trial_that_is_not_timed_does_not_say():
    assert "optimizer_seconds" not in report_of("sgd", timing=False)


def test_of_a_step_made_of_many_it_is_not_known():
    assert report_of("sgd-small", micro_batch=16)["optimizer_seconds"] is None
