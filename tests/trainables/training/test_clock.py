"""The seconds of a trial are those of training; what warms up stands beside them."""

from types import SimpleNamespace

import pytest
import torch

import trainables.training.clock as module
from trainables.task import load_task
from trainables.training.clock import Clock
from trainables.training.training import Training


@pytest.fixture
def time(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    spans = SimpleNamespace(seconds=100.0)  # of earlier trials
    monkeypatch.setattr(module, "compile_spans", lambda: spans)
    clock.spans = spans
    return clock


def steps(clock, time, *seconds):
    clock.start()
    for second in seconds:
        time.now += second
        clock.stepped()
    clock.stop()


def test_on_a_cpu_every_step_counts(time):
    clock = Clock(torch.device("cpu"), compiles=False)
    clock.skip_next()
    steps(clock, time, 5.0, 1.0, 1.0)
    assert (clock.seconds, clock.warmup_seconds) == (7.0, 0.0)


def test_a_step_that_warms_up_counts_as_long_as_the_others(time):
    clock = Clock(torch.device("cpu"), compiles=True)
    clock.skip_next()
    steps(clock, time, 50.0, 1.0, 2.0)
    assert (clock.seconds, clock.warmup_seconds) == (4.5, 48.5)
    steps(clock, time, 1.0)
    assert (clock.seconds, clock.warmup_seconds) == (5.5, 48.5)


def test_a_step_that_is_alone_counts_as_it_is(time):
    clock = Clock(torch.device("cpu"), compiles=True)
    clock.skip_next()
    steps(clock, time, 3.0)
    assert (clock.seconds, clock.warmup_seconds) == (3.0, 0.0)


def test_compiles_are_off_the_clock_wherever_they_happen(time):
    clock = Clock(torch.device("cpu"), compiles=True)
    clock.start()
    time.now += 1.0
    clock.stepped()
    time.now, time.spans.seconds = time.now + 31.0, time.spans.seconds + 30.0
    clock.stepped()
    clock.stop()
    time.now, time.spans.seconds = time.now + 7.0, time.spans.seconds + 7.0  # an evaluation's graph
    clock.stop()
    assert (clock.seconds, clock.warmup_seconds) == (2.0, 37.0)


def test_a_trial_that_compiles_reports_its_warm_up_and_resumes_with_it(make_spec, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda model: model)
    task, spec = load_task("digits"), make_spec("sgd", horizon=4, eval_interval=2, compile=True)
    training = Training(task, spec, device=torch.device("cpu"))
    training.advance()
    training.advance()
    told = training.report()["warmup_seconds"]
    resumed = Training(task, spec, device=torch.device("cpu"))
    resumed.load_state_dict(training.state_dict())
    assert resumed.state_dict()["warmup_seconds"] == told
    plain = Training(task, make_spec("sgd", horizon=4, eval_interval=2), device=torch.device("cpu"))
    plain.advance()
    assert "warmup_seconds" not in plain.report()
