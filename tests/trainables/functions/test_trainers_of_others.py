"""A Hugging Face and a Lightning trainer that train a trial: what they report, where, and how they end."""

import signal
import tempfile

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from ire.invalid_input import InvalidInput
from ire.trial.spec import TrialSpec
from trainables.functions.function import as_function
from trainables.functions.run import run_function
from trainables.training.loop import FINISHED, STOPPED


def run(function, *, stop_at=None, checkpoint=None, **fields):
    """The reports of a trial with a rung at 4 and an end that is no multiple of the interval, and its status.

    With `checkpoint` it saves after every report.
    """
    usual = {"task": "a.py:train", "method": "adamw", "settings": {"lr": 0.01}, "seed": 3, "horizon": 7}
    spec = TrialSpec(**usual | {"eval_interval": 3, "rungs": (4,)} | fields)
    reports = []

    def take(report, _):
        reports.append(report)
        return report["step"] != stop_at

    where = {"checkpoint": checkpoint, "checkpoint_seconds": 0.0}
    return reports, run_function(spec, take, function=as_function(function), **where)


def rows(count):
    draw = torch.Generator().manual_seed(0)
    return [(torch.randn(4, generator=draw), torch.randint(3, (), generator=draw)) for _ in range(count)]


class Network(nn.Module):
    """As transformers has them: the loss comes first."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, inputs, labels=None):
        logits = self.layer(F.dropout(inputs, 0.2, self.training))
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


def hugging_face(
    evaluation=None,
    *,
    own=None,
    after=None,
    loss="eval_loss",
    checkpoint=False,
    begun=None,
    forgets=False,
):
    pytest.importorskip("accelerate")
    transformers = pytest.importorskip("transformers")
    from trainables.huggingface import TrialCallback, training_arguments

    data = [{"inputs": inputs, "labels": label} for inputs, label in rows(24)]

    def train(trial):
        if begun is not None:
            begun.append(trial.first_step)
        torch.manual_seed(trial.seed)
        model = Network()
        callback = TrialCallback(trial, loss=loss, checkpoint=checkpoint)
        trainer = transformers.Trainer(
            model=model,
            args=training_arguments(trial, per_device_train_batch_size=4, **(own or {})),
            train_dataset=data,
            eval_dataset=data if evaluation is None else evaluation(data),
            compute_metrics=lambda p: {"accuracy": float((p.predictions.argmax(1) == p.label_ids).mean())},
            optimizers=(trial.build_optimizer(model), None),
            callbacks=[callback],
        )
        trainer.train(**({} if forgets else {"resume_from_checkpoint": callback.resume_from}))
        (after or (lambda: None))()

    return train


def lightning_trainer(
    *, own=None, logged="val_loss", checkpoint=False, begun=None, forgets=False, loader=None, step=None
):
    lightning = pytest.importorskip("lightning")
    from trainables.lightning import TrialCallback, trainer_arguments

    class Module(lightning.LightningModule):
        def __init__(self, trial):
            super().__init__()
            self.network, self.trial = Network(), trial

        def training_step(self, batch, index):
            (step or (lambda: None))()
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
        if begun is not None:
            begun.append(trial.first_step)
        torch.manual_seed(trial.seed)
        callback = TrialCallback(trial, checkpoint=checkpoint)
        trainer = lightning.Trainer(**trainer_arguments(trial, **(own or {})), callbacks=[callback])
        loaders = [
            DataLoader(rows(24), batch_size=4, shuffle=True, **(loader or {})),
            DataLoader(rows(24), batch_size=24),
        ]
        trainer.fit(Module(trial), *loaders, **({} if forgets else {"ckpt_path": callback.resume_from}))

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


def adversaries(*, checkpoint=False):
    """Manual optimization of two optimizers, one of which steps twice in every other batch."""
    lightning = pytest.importorskip("lightning")
    from trainables.lightning import TrialCallback, trainer_arguments

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False
            self.one, self.other = Network(), Network()

        def training_step(self, batch, index):
            for _ in range(1 + index % 2):
                loss = self.one(*batch)["loss"]
                self._step(self.optimizers()[0], loss)
            self._step(self.optimizers()[1], self.other(*batch)["loss"])
            self.log("train_loss", loss)

        def _step(self, optimizer, loss):
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()

        def validation_step(self, batch, index):
            self.log("val_loss", self.one(*batch)["loss"] + self.other(*batch)["loss"])
            self.log("val_accuracy", 0.0)

        def configure_optimizers(self):
            return [torch.optim.AdamW(network.parameters()) for network in (self.one, self.other)]

    def train(trial):
        torch.manual_seed(trial.seed)
        callback = TrialCallback(trial, checkpoint=checkpoint)
        trainer = lightning.Trainer(**trainer_arguments(trial), callbacks=[callback])
        loaders = [DataLoader(rows(24), batch_size=4, shuffle=True), DataLoader(rows(24), batch_size=24)]
        trainer.fit(Module(), *loaders, ckpt_path=callback.resume_from)
        assert trial.status is None or trial.step == trial.horizon

    return train


def test_the_optimizers_of_a_lightning_module_step_together_and_continue_together(tmp_path):
    whole, status = run(adversaries())
    assert status == FINISHED
    assert [report["step"] for report in whole] == [3, 4, 6, 7]
    run(adversaries(checkpoint=True), stop_at=6, checkpoint=tmp_path)
    again, _ = run(adversaries(checkpoint=True), checkpoint=tmp_path)
    assert losses(again) == losses(whole)


def test_the_probe_ends_a_lightning_module_with_two_optimizers_at_its_horizon():
    steps = []
    function = as_function(adversaries())
    spec = TrialSpec(task="a.py:train", method="a", settings={}, seed=3, horizon=4, eval_interval=3)

    def take(report, trial):
        steps.append(report["step"])
        return True

    assert run_function(spec, take, function=function, softly=True) == FINISHED
    assert steps == [3, 4]


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
    with pytest.raises(InvalidInput, match=r"no val_loss was logged: .*; logged: val_accuracy, val_error$"):
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


def losses(reports):
    return [
        (report["step"], report["train_loss"], report["val_loss"], report["val_accuracy"])
        for report in reports
    ]


@TRAINERS
@pytest.mark.parametrize("interrupted", [4, 6, 10, 14])
def test_with_a_checkpoint_an_interrupted_trial_continues_bit_for_bit(trainer, interrupted, tmp_path):
    """Within the first epoch, of six steps, at its end, and within and at the end of another one."""
    fields, begun = {"horizon": 15, "eval_interval": 2, "rungs": ()}, []
    whole, _ = run(trainer(), **fields)
    run(trainer(checkpoint=True, begun=begun), stop_at=interrupted, checkpoint=tmp_path, **fields)
    torch.rand(3)
    again, status = run(trainer(checkpoint=True, begun=begun), checkpoint=tmp_path, **fields)
    assert begun == [0, interrupted - 2]
    assert status == FINISHED
    assert losses(again) == losses(whole)


@TRAINERS
def test_a_checkpoint_that_is_not_passed_on_is_one_clear_line(trainer, tmp_path):
    with pytest.raises(InvalidInput, match=r"pass the checkpoint on, as in trainer\..*callback.resume_from"):
        run(trainer(checkpoint=True, forgets=True), checkpoint=tmp_path)


def test_checkpoints_of_the_scripts_own_stay_where_it_keeps_them(tmp_path):
    own = {"output_dir": str(tmp_path / "mine"), "save_strategy": "steps", "save_steps": 3}
    fields, begun = {"horizon": 9, "rungs": ()}, []
    run(hugging_face(own=own, checkpoint=True), stop_at=9, checkpoint=tmp_path / "trial", **fields)
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["checkpoint-3", "checkpoint-6"]
    run(hugging_face(checkpoint=True, begun=begun), checkpoint=tmp_path / "trial", **fields)
    assert begun == [6]


def test_a_checkpoint_without_the_optimizer_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="save_only_model leaves out the optimizer"):
        run(hugging_face(own={"save_only_model": True}, checkpoint=True), checkpoint=tmp_path)


def test_a_best_model_that_would_never_be_loaded_is_refused():
    with pytest.raises(InvalidInput, match="load_best_model_at_end=True: a trial is judged at its last step"):
        run(hugging_face(own={"load_best_model_at_end": True}))


def test_an_order_that_no_checkpoint_keeps_is_refused(tmp_path):
    trainer = lightning_trainer(loader={"generator": torch.Generator()}, checkpoint=True)
    with pytest.raises(InvalidInput, match="a DataLoader has its own generator"):
        run(trainer, checkpoint=tmp_path)


def test_control_c_leaves_a_lightning_trainer_as_what_it_is():
    def interrupt():
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(lightning_trainer(step=interrupt))
    assert signal.getsignal(signal.SIGINT) is before


def test_no_scratch_folder_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for trainer in (hugging_face, lightning_trainer):
        kept = tmp_path / trainer.__name__
        for stop_at in (4, None):
            run(trainer(checkpoint=True), stop_at=stop_at, checkpoint=kept)
        assert not list(tmp_path.glob("ire-huggingface-*"))
        assert not list(tmp_path.glob("ire-lightning-*"))
        assert not list(tmp_path.glob("ire-checkpoint-*"))
