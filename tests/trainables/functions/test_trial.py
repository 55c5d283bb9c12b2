"""The handle of a training function: what it asks, what it refuses, and how a trial of it ends and resumes."""

import io
import math
import sys

import pytest
import torch
from torch import nn

from ire.invalid_input import InvalidInput
from ire.trial.spec import TrialSpec
from trainables.functions import run
from trainables.functions.function import as_function
from trainables.functions.run import run_function
from trainables.functions.stopwatch import Stopwatch
from trainables.functions.trial import Trial, TrialEnded
from trainables.training.loop import DIVERGED, FINISHED, STOPPED
from trainables.training.placement import begin_peak_memory


def make(**fields) -> TrialSpec:
    usual = {"task": "train.py:train", "method": "mine", "settings": {"lr": 0.1}, "seed": 3}
    return TrialSpec(**usual | {"horizon": 6, "eval_interval": 2} | fields)


def falling(trial):
    """Losses 1/1, 1/2, ...; no model."""
    for step in range(trial.first_step, trial.horizon):
        if trial.due(step + 1):
            trial.report(step + 1, train_loss=2 / (step + 1), val_loss=1 / (step + 1))


def curve(function, spec=None, *, stop_at=None, **options):
    """The reports of a trial, and how it ended; the sweep stops it at a step."""
    reports = []

    def take(report, _):
        reports.append(report)
        return report["step"] != stop_at

    status = run_function(spec or make(), take, function=as_function(function), **options)
    return reports, status


def test_a_loop_reports_at_the_steps_that_are_due():
    reports, status = curve(falling, make(horizon=7, eval_interval=3, rungs=(2,)))
    assert status == FINISHED
    assert [report["step"] for report in reports] == [2, 3, 6, 7]
    assert [report["val_loss"] for report in reports] == [1 / 2, 1 / 3, 1 / 6, 1 / 7]
    assert [report["gradient_evaluations"] for report in reports] == [2, 3, 6, 7]
    assert not any(report["diverged"] for report in reports)


def test_each_trial_begins_its_own_peak_of_memory(monkeypatch):
    begun = []
    monkeypatch.setattr(run, "begin_peak_memory", begun.append)
    curve(falling)
    assert begun == [torch.device("cpu")]
    seen = []
    monkeypatch.setattr(torch.cuda, "init", lambda: seen.append("init"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", seen.append)
    begin_peak_memory(torch.device("cpu"))
    assert seen == []
    begin_peak_memory(torch.device("cuda:1"))
    assert seen == ["init", torch.device("cuda:1")]  # without the first, torch refuses a device with a number


def test_the_handle_says_what_the_trial_is():
    def train(trial):
        seen.update(
            method=trial.method,
            settings=dict(trial.settings),
            seed=trial.seed,
            study=trial.study,
            horizon=trial.horizon,
            workers=(trial.rank, trial.world_size),
            device=trial.device,
            first_step=trial.first_step,
            saved=trial.saved,
        )
        falling(trial)

    seen = {}
    settings = {"lr": 0.1, "pooling": "mean", "norm": True, "layers": 3}
    curve(train, make(settings=settings, study=2))
    assert seen == {
        "method": "mine",
        "settings": settings,
        "seed": 3,
        "study": 2,
        "horizon": 6,
        "workers": (0, 1),
        "device": torch.device("cpu"),
        "first_step": 0,
        "saved": None,
    }


def test_a_trial_that_is_stopped_ends_the_function_and_runs_its_finally():
    def train(trial):
        try:
            falling(trial)
        except Exception:
            left.append("caught")
        finally:
            left.append("closed")

    left = []
    reports, status = curve(train, stop_at=4)
    assert status == STOPPED
    assert [report["step"] for report in reports] == [2, 4]
    assert left == ["closed"]


def test_a_function_that_goes_on_after_the_end_is_ended_again():
    def train(trial):
        try:
            falling(trial)
        except BaseException:
            trial.report(6, val_loss=1.0)

    assert curve(train)[1] == FINISHED


@pytest.mark.parametrize("loss", [math.nan, math.inf, 1e3])
def test_a_loss_that_is_lost_ends_the_trial_as_diverged(loss):
    def train(trial):
        trial.due(2)
        trial.report(2, train_loss=1.0, val_loss=1.0)
        trial.due(4)
        trial.report(4, train_loss=1.0, val_loss=loss)

    reports, status = curve(train)
    assert status == DIVERGED
    assert reports[-1]["diverged"]
    assert reports[-1]["val_loss"] == (None if not math.isfinite(loss) else loss)


def reports_at(*steps, **values):
    def train(trial):
        for step in steps:
            trial.report(step, **{"val_loss": 1.0} | values)

    return train


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            reports_at(1),
            r"report\(1\): no report is due at that step.* every 2 steps, and at 6",
        ),
        (reports_at(4), r"report\(4\): the report at step 2 was due, but is missing"),
        (reports_at(2, 2), r"report\(2\): step 2 has been reported already"),
        (
            reports_at(2, 4),
            "returned before its trial was over: the horizon is 6 steps, but its last report was at",
        ),
        (reports_at(), "returned before its trial was over: the horizon is 6 steps, but it never reported"),
        (reports_at(8), "continued to step 8, past the horizon of 6 steps: end its loop at trial.horizon"),
        (reports_at(0), "step = 0: must be the number of optimizer steps taken, at least 1"),
        (
            reports_at(2, val_loss=None),
            r"report\(2\) without val_loss, which the search minimizes: pass it each time",
        ),
        (reports_at(2, accuracy="high"), "accuracy is 'high', a str: must be a single number"),
        (reports_at(2, accuracy=torch.ones(3)), r"accuracy has the shape \(3,\): must be a single number"),
        (reports_at(2, seconds=1.0), "'seconds' is measured for every report"),
        (
            reports_at(2, error=0.2),
            "'error' is a reserved key of the records; rename your metric, for example to 'val_error'",
        ),
        (reports_at(2, trial=1.0), "'trial' is a reserved key of the records"),
        (reports_at(2, **{"a\x1b[31m": 1.0}), "is not a valid name of a metric: use printable characters"),
        (reports_at(2, accuracy=10**400), "accuracy is 1000.*must be a single number"),
        (reports_at(2, test_loss=1.0), "'test_loss': the test split is evaluated only at the end"),
        (lambda trial: trial.due(7), "continued to step 7, past the horizon of 6 steps"),
        (lambda trial: trial.log("val_loss", 1.0), "trial.report takes it"),
        (lambda trial: trial.count(gradients=-1), "must be a number of at least 0"),
        (
            lambda trial: trial.build_optimizer(nn.Linear(2, 2)),
            'name one in the space, as in optimizer = "adamw"',
        ),
    ],
)
def test_a_misstep_is_one_clear_line(function, message):
    with pytest.raises(InvalidInput, match=message):
        curve(function)


@pytest.mark.parametrize("code", [None, 0, 2, "no more of this"])
def test_a_function_that_exits_fails_its_trial(code):
    def train(trial):
        trial.due(1)
        sys.exit(code)

    shown = "" if code is None else repr(code)
    with pytest.raises(
        InvalidInput, match=rf"^train, after step 1, called sys.exit\({shown}\); raise an exc"
    ):
        curve(train)


def test_an_exit_after_the_last_report_changes_nothing():
    def train(trial):
        try:
            falling(trial)
        finally:
            sys.exit(1)

    assert curve(train)[1] == FINISHED


def test_the_generators_are_seeded_before_the_function_is_called():
    def train(trial):
        draws.append(torch.rand(1).item())
        falling(trial)

    draws = []
    for seed in (3, 3, 4):
        curve(train, make(seed=seed))
        torch.rand(5)
    assert draws[0] == draws[1] != draws[2]


def test_what_a_function_changes_in_its_process_is_put_back():
    def train(trial):
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        sys.stdout = sys.stderr = io.StringIO()
        falling(trial)

    before = sys.stdout, sys.stderr
    curve(train)
    assert (sys.stdout, sys.stderr) == before
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()


def test_logged_values_are_reported_as_their_mean_since_the_last_report():
    def train(trial):
        for step in range(trial.horizon):
            trial.log("grad_norm", torch.tensor(float(step)))
            if trial.due(step + 1):
                trial.report(step + 1, val_loss=1.0)

    assert [report["grad_norm"] for report in curve(train)[0]] == [0.5, 2.5, 4.5]


def test_the_test_split_is_evaluated_once_at_the_end_of_a_trial_that_asks_for_it():
    def train(trial):
        trial.test_metrics(lambda: looked.append(trial.step) or {"loss": 0.5, "accuracy": 0.9})
        falling(trial)

    looked = []
    assert "test_loss" not in curve(train)[0][-1]
    assert looked == []
    reports, _ = curve(train, make(test=True))
    assert looked == [6]
    assert (reports[-1]["test_loss"], reports[-1]["test_accuracy"]) == (0.5, 0.9)
    assert "test_loss" not in reports[-2]


def counting(gradients):
    def train(trial):
        for step in range(trial.horizon):
            trial.count(gradients=gradients)
            if trial.due(step + 1):
                trial.report(step + 1, val_loss=1.0)

    return train


def test_counted_gradients_are_reported_up_to_what_the_space_says_of_a_step():
    spec = make(settings={"gradients_per_step": 2})
    assert [report["gradient_evaluations"] for report in curve(counting(1.5), spec)[0]] == [3, 6, 9]
    with pytest.raises(
        InvalidInput, match=r"counted 6 gradients in 2 steps.*budget of 4.*gradients_per_step = 3"
    ):
        curve(counting(3), spec)


def test_a_trial_that_is_named_like_a_method_costs_what_the_method_does():
    settings = {"lr": 0.1, "rho": 0.05}
    assert curve(falling, make(method="sam-sgd", settings=settings))[0][-1]["gradient_evaluations"] == 12
    settings |= {"optimizer": "sam-sgd"}
    assert curve(falling, make(method="mine", settings=settings))[0][-1]["gradient_evaluations"] == 12
    assert curve(falling, make(method="sam-sgd", settings={"size": 3}))[0][-1]["gradient_evaluations"] == 6


# The optimizer of a method


def regression(trial):
    """A line through points, with the optimizer of the arm."""
    draw = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(64, 4, generator=draw), torch.randn(64, 1, generator=draw)
    model = nn.Linear(4, 1)
    optimizer = trial.build_optimizer(model)
    for step in range(trial.first_step, trial.horizon):
        loss = (model(inputs) - targets).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rates.append(optimizer.param_groups[0]["lr"])
        if trial.due(step + 1):
            trial.report(step + 1, val_loss=loss)


rates: list[float] = []


def test_a_built_optimizer_follows_the_schedule_by_itself():
    rates.clear()
    settings = {"lr": 0.1, "warmup_fraction": 0.5, "optimizer": "adamw"}
    reports, _ = curve(regression, make(settings=settings, horizon=4, eval_interval=2, schedule="linear"))
    assert rates == pytest.approx([0.05, 0.1, 0.1, 0.05])
    assert reports[-1]["lr"] == pytest.approx(0.05)


def test_several_built_optimizers_follow_one_schedule_however_often_each_steps():
    trial = Trial(make(settings={"lr": 1.0, "optimizer": "sgd"}, horizon=4, schedule="linear"))
    critic, generator = (trial.build_optimizer(nn.Linear(1, 1)) for _ in range(2))
    rates = []
    for step in range(4):
        for optimizer in (critic, critic, generator):
            optimizer.step()
            rates.append(optimizer.param_groups[0]["lr"])
        trial.due(step + 1)
    assert rates == pytest.approx([rate for rate in (1, 0.75, 0.5, 0.25) for _ in range(3)])


def test_a_built_optimizer_takes_the_settings_that_are_its_own():
    settings = {"lr": 0.1, "momentum": 0.5, "optimizer": "sgd", "layers": 7}
    trial = Trial(make(settings=settings))
    optimizer = trial.build_optimizer(nn.Linear(2, 2))
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.defaults["momentum"] == 0.5


def test_parameters_in_the_place_of_the_model_are_refused():
    with pytest.raises(
        InvalidInput, match=r"takes the model, not a generator: trial.build_optimizer\(model\)"
    ):
        Trial(make(settings={"lr": 0.1, "optimizer": "sgd"})).build_optimizer(nn.Linear(2, 2).parameters())


def test_a_setting_that_the_method_needs_is_named():
    with pytest.raises(InvalidInput, match="adamw needs lr"):
        Trial(make(settings={"optimizer": "adamw"}))


# Resuming in the middle


def resumable(trial):
    """A random walk that goes on where it was, by what it saved and by the global generator."""
    at = torch.zeros(())
    if trial.saved:
        at = trial.saved["at"]
    for step in range(trial.first_step, trial.horizon):
        at = at + torch.randn(())
        if trial.due(step + 1):
            trial.report(step + 1, train_loss=10 + at, val_loss=10 + at)
            trial.save({"at": at})


def losses(reports):
    return {report["step"]: report["val_loss"] for report in reports}


def test_a_trial_that_saves_continues_bit_for_bit_and_sends_its_reports_again(tmp_path):
    whole, _ = curve(resumable)
    curve(resumable, stop_at=4, checkpoint=tmp_path, checkpoint_seconds=0)
    torch.rand(3)
    again, status = curve(resumable, checkpoint=tmp_path, checkpoint_seconds=0)
    assert status == FINISHED
    assert losses(again) == losses(whole)
    assert [report["step"] for report in again] == [2, 4, 6]  # 2 from the checkpoint


def test_a_trial_that_does_not_save_starts_from_the_beginning(tmp_path):
    curve(falling, stop_at=4, checkpoint=tmp_path)
    assert losses(curve(falling, checkpoint=tmp_path)[0]) == losses(curve(falling)[0])


def test_a_checkpoint_of_another_trial_is_refused(tmp_path):
    curve(resumable, stop_at=4, checkpoint=tmp_path, checkpoint_seconds=0)
    with pytest.raises(InvalidInput, match="belongs to another trial: seed 3, now 4"):
        curve(resumable, make(seed=4), checkpoint=tmp_path)


def saving(make_state, *, before_report=False):
    def train(trial):
        assert trial.due(2)
        if not before_report:
            trial.report(2, val_loss=1.0)
        trial.save(make_state)

    return train


def test_what_cannot_be_read_back_is_refused_when_it_is_saved(tmp_path):
    with pytest.raises(InvalidInput, match=r"state\['model'\]\[1\] is a Linear: must be tensors and plain"):
        curve(saving({"model": [1, nn.Linear(1, 1)]}), checkpoint=tmp_path, checkpoint_seconds=0)


def test_a_state_is_saved_after_its_report(tmp_path):
    with pytest.raises(InvalidInput, match="save at step 2: its report is due first"):
        curve(saving({}, before_report=True), checkpoint=tmp_path)


def test_a_state_is_made_only_when_it_is_saved(tmp_path):
    def never():
        raise AssertionError

    with pytest.raises(InvalidInput, match="returned before"):
        curve(saving(never), checkpoint=tmp_path, checkpoint_seconds=60)


def test_what_takes_long_to_save_is_asked_for_first_and_is_no_training_time(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("trainables.functions.stopwatch.time.perf_counter", lambda: now[0])
    asked = []

    def slow(trial):
        for step in range(trial.first_step, trial.horizon):
            now[0] += 1.0
            if trial.due(step + 1):
                trial.report(step + 1, val_loss=1.0)
                asked.append(trial.save_due())
                now[0] += 100.0
                trial.save({})

    reports, _ = curve(slow, checkpoint=tmp_path, checkpoint_seconds=0)
    assert [report["seconds"] for report in reports] == [2.0, 4.0, 6.0]
    assert all(asked)
    asked.clear()
    curve(slow)
    assert not any(asked), "nowhere to save"


# Alone


def test_a_trial_runs_alone():
    trial = Trial.alone("mine", {"lr": 0.1}, horizon=20).run(falling)
    assert trial.status == FINISHED
    assert [report["step"] for report in trial.reports] == list(range(2, 21, 2))


def test_no_exception_handler_catches_the_end_of_a_trial():
    assert not issubclass(TrialEnded, Exception)


# Its time


def test_time_before_the_first_step_and_in_evaluation_is_no_training_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def train(trial):
        now[0] += 5.0
        for step in range(trial.horizon):
            now[0] += 0.25
            if trial.due(step + 1):
                now[0] += 3.0
                trial.report(step + 1, val_loss=1.0)

    last = curve(train, make(horizon=10, eval_interval=5))[0][-1]
    assert last["seconds"] == 10 * 0.25
    assert last["warmup_seconds"] == 5.0


def test_the_first_step_counts_as_long_as_the_mean_of_those_behind_it(monkeypatch):
    times = iter([0.0, 7.0, 9.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(times))
    watch = Stopwatch(torch.device("cpu"))
    watch.start(0, skip=True)
    watch.stepped(1)
    watch.stop(5)
    assert watch.seconds == 2.0 + 0.5
    assert watch.setup_seconds == 6.5


def scored(trial, **wrong):
    for step in range(trial.first_step, trial.horizon):
        if trial.due(step + 1):
            trial.report(step + 1, **({"val_score": float(step)} | wrong))


def test_a_function_may_report_the_metric_of_the_objective_alone():
    reports, status = curve(scored, make(metric="val_score"))
    assert status == FINISHED
    assert [report["val_score"] for report in reports] == [1.0, 3.0, 5.0]
    assert {report["val_loss"] for report in reports} == {None}


def test_a_metric_of_the_objective_that_is_not_finite_is_divergence():
    reports, status = curve(lambda trial: scored(trial, val_score=math.nan), make(metric="val_score"))
    assert (status, len(reports)) == (DIVERGED, 1)


def test_a_report_without_the_metric_of_the_objective_is_refused():
    with pytest.raises(InvalidInput, match="without val_acc, by which trials are compared"):
        curve(scored, make(metric="val_acc"))
