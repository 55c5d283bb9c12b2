"""The probe of a training function: what it finds before a sweep starts."""

import dataclasses
import itertools
from unittest.mock import Mock

import pytest
import torch
import torch.distributed as dist

from ire.invalid_input import InvalidInput
from ire.trial.spec import TrialSpec
from trainables.functions.function import as_function
from trainables.functions.probe import EVAL_INTERVAL, STEPS, Probed, probe


def specs():
    tries = [("baseline", 1, False), ("baseline", 1, True), ("baseline", 2, False), ("mine", 1, False)]
    return [
        TrialSpec(
            task="train.py:train",
            method=method,
            settings={"lr": 0.1},
            seed=seed,
            horizon=STEPS,
            eval_interval=EVAL_INTERVAL,
            test=test,
        )
        for method, seed, test in tries
    ]


def probed(function, **options):
    return probe(as_function(function), specs(), **{"device": "cpu", "in_group": False} | options)


def loop(loss, *, horizon=None, interval=None):
    """A function that reports `loss(trial)`, at the steps that are due or by a clock of its own."""

    def train(trial):
        for step in range(1, (horizon or trial.horizon) + 1):
            is_due = step % interval == 0 if interval else trial.due(step)
            if is_due:
                trial.report(step, train_loss=loss(trial), val_loss=1.0)

    return train


calls = itertools.count()


@pytest.mark.parametrize(
    ("loss", "paired", "seeded"),
    [
        (lambda trial: torch.rand(()), True, True),
        (lambda trial: 1 + torch.rand((), generator=torch.Generator().manual_seed(trial.seed)), True, True),
        (lambda trial: 1 / (1 + next(calls)), False, True),
        (lambda trial: 1.0, True, False),
    ],
    ids=["global generator", "own generator", "no seed", "one seed"],
)
def test_it_finds_whether_the_seed_decides_the_losses(loss, paired, seeded):
    assert probed(loop(loss)) == Probed(paired=paired, seeded=seeded, tests=False, overruns=False)


def test_a_state_that_is_saved_behind_the_last_report_is_no_step_past_the_horizon(tmp_path):
    def train(trial):
        for step in range(1, trial.horizon + 1):
            if trial.due(step):
                trial.report(step, val_loss=trial.seed)
                trial.save({})

    assert not probed(train).overruns


def descending(*, saves, restores=True, skips=True):
    """A loop with momentum that saves the named values of its state, and continues from them."""

    def train(trial):
        found = {"weight": torch.ones(()), "velocity": torch.zeros(())}
        rows = itertools.count(trial.first_step if skips else 0)
        if trial.saved is not None and restores:
            found |= trial.saved
        for step, row in zip(range(trial.first_step, trial.horizon), rows, strict=False):
            noise = torch.rand(()) + row
            found["velocity"] = 0.9 * found["velocity"] - 0.01 * noise * found["weight"]
            found["weight"] = found["weight"] + found["velocity"]
            if trial.due(step + 1):
                trial.report(step + 1, val_loss=found["weight"])
                trial.save({name: found[name] for name in saves})

    return train


@pytest.mark.parametrize(
    ("options", "drifts"),
    [
        ({"saves": ("weight", "velocity")}, ()),
        ({"saves": ("weight",)}, ("baseline", "mine")),
        ({"saves": ("weight", "velocity"), "restores": False}, ("baseline", "mine")),
        ({"saves": ("weight", "velocity"), "skips": False}, ("baseline", "mine")),
    ],
    ids=["all", "no optimizer", "not loaded", "the first batches again"],
)
def test_it_finds_the_arms_that_do_not_continue_exactly_from_what_they_saved(options, drifts):
    assert probed(descending(**options)).drifts == drifts


def test_an_unseeded_function_is_not_blamed_for_what_it_saves():
    found = probed(descending_unseeded)
    assert not found.paired and not found.drifts


def descending_unseeded(trial):
    torch.manual_seed(next(calls))
    descending(saves=("weight", "velocity"))(trial)


def test_a_state_that_no_checkpoint_can_hold_is_found_before_the_sweep():
    def train(trial):
        for step in range(1, trial.horizon + 1):
            if trial.due(step):
                trial.report(step, val_loss=1.0)
                trial.save({"optimizer": object()})

    with pytest.raises(
        InvalidInput, match=r"tried for 4 steps as 'baseline': trial.save: state\['optimizer'\] is a"
    ):
        probed(train)


def test_a_state_that_the_function_cannot_load_is_found_before_the_sweep():
    def train(trial):
        if trial.saved is not None:
            torch.nn.Linear(2, 2).load_state_dict(trial.saved)
        for step in range(trial.first_step + 1, trial.horizon + 1):
            if trial.due(step):
                trial.report(step, val_loss=1.0)
                trial.save(torch.nn.Linear(3, 3).state_dict())

    with pytest.raises(RuntimeError, match="size mismatch") as found:
        probed(train)
    assert "continued from the state that it saved at step 3 as 'baseline'" in found.value.__notes__[0]


def test_a_metric_other_than_the_loss_is_compared_too():
    def train(trial):
        for step in range(1, trial.horizon + 1):
            if trial.due(step):
                trial.report(step, val_score=torch.rand(()))

    def tried(function):
        trials = [dataclasses.replace(spec, metric="val_score") for spec in specs()]
        return probe(as_function(function), trials, device="cpu", in_group=False)

    assert tried(train) == Probed(paired=True, seeded=True, tests=False, overruns=False)


def test_it_finds_that_a_horizon_is_not_obeyed():
    assert probed(loop(lambda trial: trial.seed, horizon=2000)).overruns


def test_it_finds_whether_the_test_split_can_be_evaluated_and_evaluates_it_once():
    def train(trial):
        trial.test_metrics(lambda: looked.append(trial.method) or {"loss": 1.0})
        loop(lambda trial: torch.rand(()))(trial)

    looked = []
    assert probed(train).tests
    assert looked == ["baseline"]


@pytest.mark.parametrize(
    ("tested", "message"),
    [
        (0.5, "takes a function, not 0.5"),
        (lambda: 0.5, "returned 0.5: must be a dictionary with 'loss'"),
        (lambda: {"accuracy": 0.5}, "returned {'accuracy': 0.5}: must be a dictionary with 'loss'"),
    ],
    ids=["called", "a number", "another metric"],
)
def test_a_test_split_without_the_compared_metric_is_one_clear_line(tested, message):
    def train(trial):
        trial.test_metrics(tested)
        loop(lambda _: torch.rand(()))(trial)

    with pytest.raises(InvalidInput, match=message):
        probed(train)


def forgetful(trial):
    for step in range(1, trial.horizon + 1):
        if trial.due(step):
            trial.report(step, train_loss=1.0)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (forgetful, "without val_loss"),
        (loop(lambda _: 1.0, horizon=3), "returned before its trial was over: the horizon is 4 steps"),
        (loop(lambda _: 1.0, interval=1), r"report\(1\): no report is due at that step"),
        (
            loop(lambda _: 1.0, horizon=2000, interval=100),
            "continued to step 100, past the horizon of 4 steps",
        ),
        (lambda trial: None, "it never reported"),
    ],
    ids=["no metric", "too short", "not due", "own interval", "nothing"],
)
def test_a_function_that_does_not_keep_to_its_trial_is_one_clear_line(function, message):
    with pytest.raises(InvalidInput, match=f"tried for 4 steps as 'baseline': .*{message}") as found:
        probed(function)
    assert "\n" not in str(found.value)


def test_a_setting_that_an_arm_lacks_is_named_with_those_it_has():
    with pytest.raises(
        InvalidInput, match=r"unknown setting 'wd' in the arm 'baseline': .*allowed: lr"
    ) as found:
        probed(lambda trial: trial.settings["wd"])
    assert isinstance(found.value.__cause__, KeyError)


def test_a_gpu_that_cannot_be_used_is_no_fault_of_the_function(monkeypatch):
    refused = RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable\nmore")
    monkeypatch.setattr(torch, "ones", Mock(side_effect=refused))
    with pytest.raises(InvalidInput, match=r"GPU of a worker .*busy or unavailable\): `ire doctor`"):
        probed(loop(lambda _: 1.0), device="cuda")


def test_every_arm_is_tried():
    def train(trial):
        if trial.method == "mine":
            raise KeyError("dropout")
        loop(lambda _: 1.0)(trial)

    with pytest.raises(KeyError, match="dropout") as found:
        probed(train)
    assert "as 'mine'" in found.value.__notes__[0]


def test_a_function_for_several_workers_finds_a_group_of_one():
    def train(trial):
        one = torch.ones(())
        dist.all_reduce(one)
        loop(lambda _: one)(trial)

    assert probed(train, in_group=True).paired
    assert not dist.is_initialized()
