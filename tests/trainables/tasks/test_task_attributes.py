"""A trial whose settings are attributes of its task: what it trains, what it costs, and what is refused."""

import pytest
import torch
from torch import nn

from ire.invalid_input import InvalidInput
from ire.methods.method import parse_method
from ire.trial.spec import TrialSpec
from trainables.task import Task, load_task
from trainables.training.loop import train
from trainables.training.rehearsal import check_metric, rehearse, rehearse_attributes
from trainables.training.training import Training

METHOD = parse_method("sgd")


class Points(Task):
    """Two classes of points, whose rule depends on the seed and the step alone."""

    name = "points"
    batch_size = 32
    dropout = 0.1
    width = 8
    kind = "relu"
    smooth = False
    limit: int | None = None
    sizes = (1, 2)

    def model(self):
        between = {"relu": nn.ReLU, "tanh": nn.Tanh}[self.kind]()
        hidden = nn.Linear(4, self.width, device=None)
        return nn.Sequential(hidden, between, nn.Dropout(self.dropout), nn.Linear(self.width, 2))

    def train_batches(self, *, seed, start):
        step = start
        while True:
            draws = torch.Generator().manual_seed(1000 * seed + step)
            inputs = torch.randn(self.batch_size, 4, generator=draws)
            yield inputs, (inputs.sum(-1) > 0).long()
            step += 1

    def eval_batches(self, split):
        inputs = torch.randn(64, 4, generator=torch.Generator().manual_seed(len(split)))
        return [(inputs, (inputs.sum(-1) > 0).long())]


def spec_with(unit=None, metric="val_loss", **attributes) -> TrialSpec:
    own = {f"task.{name}": value for name, value in attributes.items()}
    return TrialSpec(
        task="points",
        method="sgd",
        settings=METHOD.resolve({"lr": 0.1, **own}),
        seed=0,
        horizon=8,
        eval_interval=4,
        metric=metric,
        batch_unit=unit,
    )


def reports_of(spec, task=None, checkpoint=None, stop_after=None):
    reports = []

    def take(report, _):
        reports.append(report)
        return len(reports) != stop_after

    train(spec, take, task=task or Points(), checkpoint=checkpoint, checkpoint_seconds=0)
    return reports


def losses(reports):
    return [report["val_loss"] for report in reports]


def test_a_trial_trains_the_task_with_the_attributes_of_its_settings():
    training = Training(Points(), spec_with(dropout=0.5, width=16, kind="tanh"), device=torch.device("cpu"))
    assert (training.model[2].p, training.model[0].out_features) == (0.5, 16)
    assert isinstance(training.model[1], nn.Tanh)


def test_the_task_itself_is_left_as_it_is_for_the_next_trial():
    task = Points()
    plain = losses(reports_of(spec_with(), task))
    assert losses(reports_of(spec_with(width=16), task)) != plain
    assert losses(reports_of(spec_with(), task)) == plain
    assert (task.width, task.dropout) == (8, 0.1)


def test_such_a_trial_resumes_bitwise(tmp_path):
    spec = spec_with(dropout=0.4, batch_size=12, unit=32)
    whole = reports_of(spec)
    reports_of(spec, checkpoint=tmp_path, stop_after=1)
    resumed = reports_of(spec, checkpoint=tmp_path)
    assert losses(resumed) == losses(whole)
    assert [r["gradient_evaluations"] for r in resumed] == [r["gradient_evaluations"] for r in whole]


@pytest.mark.parametrize(("size", "cost"), [(16, [2, 4]), (64, [8, 16]), (32, [4, 8]), (12, [2, 3])])
def test_a_gradient_of_another_batch_costs_its_share_of_a_full_one(size, cost):
    reports = reports_of(spec_with(unit=32, batch_size=size))
    assert [report["gradient_evaluations"] for report in reports] == cost


def test_forms_of_a_task_are_kept_and_few():
    task = Points()
    first = task.with_attributes({"width": 9})
    assert task.with_attributes({"width": 9}) is first
    for width in range(10, 20):
        task.with_attributes({"width": width})
    assert task.with_attributes({"width": 9}) is not first


def test_a_whole_number_is_taken_for_an_attribute_that_is_real():
    assert Points().with_attributes({"dropout": 0}).dropout == 0.0


def test_what_is_computed_once_is_computed_again_for_other_attributes():
    digits = load_task("digits")
    assert digits.splits is digits.splits
    other = digits.with_attributes({"batch_size": 32})
    assert "splits" not in vars(other)
    assert other.in_study(1).batch_size == 32


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("droput", 0.1, "unknown attribute 'droput' in the task points.*did you mean 'dropout'"),
        ("model", 1, "unknown attribute 'model'"),
        ("sizes", 1, "unknown attribute 'sizes'"),
        ("dropout", "much", "task.dropout = 'much': must be a number"),
        ("dropout", True, "task.dropout = True: must be a number"),
        ("width", 8.5, "task.width = 8.5: must be an integer"),
        ("smooth", 1, "task.smooth = 1: must be a Boolean"),
        ("kind", 3, "task.kind = 3: must be a string"),
    ],
)
def test_an_attribute_that_cannot_be_is_refused(name, value, message):
    with pytest.raises(InvalidInput, match=message):
        Points().with_attributes({name: value})


def test_arms_are_rehearsed_with_the_attributes_that_they_are_given():
    settings = METHOD.resolve({"lr": 0.1, "task.width": 16})
    (group,) = rehearse(Points(), {METHOD: settings}, horizon=8)["sgd"]
    assert sum(p.numel() for p in group.parameters.values()) == 16 * 5 + 2 * 17


def test_a_value_for_which_there_is_no_model_is_refused_before_anything_starts():
    with pytest.raises(
        InvalidInput, match=r"task.kind = 'gelu': the model cannot be built: KeyError: 'gelu'"
    ):
        rehearse_attributes(Points(), {}, {"kind": ["tanh", "gelu"]})


def test_a_metric_that_the_task_does_not_report_is_named():
    with pytest.raises(InvalidInput, match=r"points does not report val_acuracy.*val_loss, val_accuracy"):
        reports_of(spec_with(metric="val_acuracy"))


def test_a_metric_that_the_task_does_not_report_is_named_before_anything_starts():
    check_metric(Points(), "val_accuracy")
    with pytest.raises(
        InvalidInput, match=r"points does not report val_bleu, .* must be one of val_loss, val_accuracy"
    ):
        check_metric(Points(), "val_bleu")


@pytest.mark.parametrize("is_buffer", [True, False])
def test_the_metric_of_a_model_with_more_tensors_than_its_parameters_is_found(is_buffer):
    class Scaled(Points):
        def model(self):
            model, scale = super().model(), torch.ones(())
            model.register_buffer("scale", scale) if is_buffer else setattr(model, "scale", scale)
            return model

        def outputs(self, model, batch):
            return super().outputs(model, batch) * model.scale

    check_metric(Scaled(), "val_accuracy")


def test_a_metric_that_is_not_finite_is_divergence():
    class Broken(Points):
        def metric_sums(self, outputs, batch):
            return super().metric_sums(outputs, batch) | {"bleu": outputs.sum() * float("nan")}

    report = reports_of(spec_with(metric="val_bleu"), Broken())[-1]
    assert report["diverged"]
    assert report["val_bleu"] is None
    assert not reports_of(spec_with(), Broken())[-1]["diverged"]
