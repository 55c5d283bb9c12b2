"""A Hugging Face and a Lightning trainer that train a trial: what they report, where, and how they end."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ire.invalid_input import InvalidInput
from ire.trial.spec import TrialSpec
from trainables.functions.function import as_function
from trainables.functions.run import run_function
from trainables.training.loop import FINISHED, STOPPED


def run(function, *, stop_at=None, **fields):
    """The reports of a trial with a rung at 4 and an end that is no multiple of the interval, and its status."""
    usual = {"task": "a.py:train", "method": "adamw", "settings": {"lr": 0.01}, "seed": 3, "horizon": 7}
    spec = TrialSpec(**usual | {"eval_interval": 3, "rungs": (4,)} | fields)
    reports = []

    def take(report, _):
        reports.append(report)
        return report["step"] != stop_at

    return reports, run_function(spec, take, function=as_function(function))


def rows(count):
    draw = torch.Generator().manual_seed(0)
    return [(torch.randn(4, generator=draw), torch.randint(3, (), generator=draw)) for _ in range(count)]


class Network(nn.Module):
    """As transformers has them: the loss comes first."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, inputs, labels=None):
        logits = self.layer(inputs)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


def hugging_face(evaluation=None, *, own=None, after=None, loss="eval_loss"):
    pytest.importorskip("accelerate")
    transformers = pytest.importorskip("transformers")
    from trainables.huggingface import TrialCallback, training_arguments

    data = [{"inputs": inputs, "labels": label} for inputs, label in rows(24)]

    def train(trial):
        torch.manual_seed(trial.seed)
        model = Network()
        trainer = transformers.Trainer(
            model=model,
            args=training_arguments(trial, per_device_train_batch_size=4, **(own or {})),
            train_dataset=data,
            eval_dataset=data if evaluation is None else evaluation(data),
            compute_metrics=lambda p: {"accuracy": float((p.predictions.argmax(1) == p.label_ids).mean())},
            optimizers=(trial.build_optimizer(model), None),
            callbacks=[TrialCallback(trial, loss=loss)],
        )
        trainer.train()
        (after or (lambda: None))()

    return train


def lightning_trainer(*, own=None, logged="val_loss"):
    lightning = pytest.importorskip("lightning")
    from trainables.lightning import TrialCallback, trainer_arguments

    class Module(lightning.LightningModule):
        def __init__(self, trial):
            super().__init__()
            self.network, self.trial = Network(), trial

        def training_step(self, batch, index):
            loss = self.network(*batch)["loss"]
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch, index):
            found = self.network(*batch)
            self.log(logged, found["loss"])
            self.log("val_accuracy", (found["logits"].argmax(1) == batch[1]).float().mean())

        def configure_optimizers(self):
            return self.trial.build_optimizer(self.network)

    def train(trial):
        torch.manual_seed(trial.seed)
        trainer = lightning.Trainer(
            **trainer_arguments(trial, **(own or {})), callbacks=[TrialCallback(trial)]
        )
        loaders = [torch.utils.data.DataLoader(rows(24), batch_size=size) for size in (4, 24)]
        trainer.fit(Module(trial), *loaders)

    return train


TRAINERS = pytest.mark.parametrize("trainer", [hugging_face, lightning_trainer])


@TRAINERS
def test_it_reports_at_the_rungs_and_at_the_end_too(trainer):
    reports, status = run(trainer())
    assert status == FINISHED
    assert [report["step"] for report in reports] == [3, 4, 6, 7]
    for report in reports:
        assert 0 < report["train_loss"] < 3
        assert 0 < report["val_loss"] < 3
        assert 0 <= report["val_accuracy"] <= 1
        assert {name for name in report if name.startswith("val_")} == {"val_loss", "val_accuracy"}
    assert reports[-1]["val_loss"] < reports[0]["val_loss"]


@TRAINERS
def test_its_learning_rate_is_that_of_the_arms_schedule(trainer):
    settings = {"lr": 0.01, "warmup_fraction": 0.0, "final_lr_fraction": 0.5}
    reports, _ = run(trainer(), settings=settings, schedule="linear")
    assert [report["lr"] for report in reports] == pytest.approx(
        [0.01 * (1 - 0.5 * step / 7) for step in (2, 3, 5, 6)]
    )


@TRAINERS
def test_it_is_the_same_twice_and_another_with_another_seed(trainer):
    one, again, other = (
        [(report["train_loss"], report["val_loss"]) for report in run(trainer(), seed=seed)[0]]
        for seed in (3, 3, 4)
    )
    assert one == again != other


@TRAINERS
def test_a_trial_that_is_pruned_ends_the_training(trainer):
    reports, status = run(trainer(), stop_at=4)
    assert status == STOPPED
    assert [report["step"] for report in reports] == [3, 4]


def test_nothing_behind_the_training_runs_in_a_trial_that_has_ended():
    def after():
        raise AssertionError

    assert run(hugging_face(after=after))[1] == FINISHED


def test_accumulated_gradients_are_one_step():
    reports, _ = run(hugging_face(own={"gradient_accumulation_steps": 2}))
    assert [report["gradient_evaluations"] for report in reports] == [3, 4, 6, 7]


def test_one_of_several_evaluation_sets_is_the_one_that_is_judged():
    def two(data):
        return {"easy": data[:12], "hard": data[12:]}

    reports, _ = run(hugging_face(two, loss="eval_hard_loss"))
    assert {name for name in reports[0] if name.startswith("val_")} == {
        "val_loss",
        "val_easy_loss",
        "val_easy_accuracy",
        "val_hard_accuracy",
    }


def test_an_evaluation_without_the_loss_is_one_clear_line():
    def two(data):
        return {"easy": data[:12], "hard": data[12:]}

    with pytest.raises(InvalidInput, match="without eval_loss: give the Trainer an eval_dataset"):
        run(hugging_face(two))
    with pytest.raises(InvalidInput, match="no val_loss was logged"):
        run(lightning_trainer(logged="val_error"))


@pytest.mark.parametrize(
    ("trainer", "own"),
    [
        (hugging_face, {"max_steps": 5}),
        (hugging_face, {"num_train_epochs": 2}),
        (lightning_trainer, {"max_steps": 5}),
    ],
)
def test_what_the_trial_decides_is_refused(trainer, own):
    (name,) = own
    with pytest.raises(InvalidInput, match=rf"{name}=.*the trial decides it"):
        run(trainer(own=own))
