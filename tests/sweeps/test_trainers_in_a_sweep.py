"""A Hugging Face and a Lightning trainer in a sweep: interrupted, and continued where they were."""

import io
import sys
from dataclasses import replace

import pytest
from rich.console import Console
from trial_rows import rows

from ire import resume, sweep
from ire.sweeps.records.records import FINISHED, read_records

HUGGING_FACE = """
from transformers import Trainer

from trainables.huggingface import TrialCallback, test_metrics, training_arguments


def train(trial):
    torch.manual_seed(trial.seed)
    network = Network(trial)
    callback = TrialCallback(trial, checkpoint=CHECKPOINT)
    sets = [[{"inputs": x, "labels": y} for x, y in rows(24, seed)] for seed in range(3)]
    trainer = Trainer(
        model=network,
        args=training_arguments(trial, per_device_train_batch_size=4),
        train_dataset=sets[0],
        eval_dataset=sets[1],
        optimizers=(torch.optim.AdamW(network.parameters(), lr=trial.settings["lr"]), None),
        callbacks=[callback],
    )
    trial.test_metrics(lambda: test_metrics(trainer, sets[2]))
    trainer.train(resume_from_checkpoint=callback.resume_from)
"""

LIGHTNING = """
import lightning
from torch.utils.data import DataLoader

from trainables.lightning import TrialCallback, trainer_arguments


class Module(lightning.LightningModule):
    def __init__(self, trial):
        super().__init__()
        self.network, self.lr = Network(trial), trial.settings["lr"]

    def training_step(self, batch, index):
        loss = self.network(*batch)["loss"]
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, index):
        self.log("val_loss", self.network(*batch)["loss"])

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.lr)


def train(trial):
    torch.manual_seed(trial.seed)
    callback = TrialCallback(trial, checkpoint=CHECKPOINT)
    trainer = lightning.Trainer(**trainer_arguments(trial), callbacks=[callback])
    shuffled = DataLoader(rows(24, 0), batch_size=4, shuffle=True)
    trainer.fit(Module(trial), shuffled, DataLoader(rows(24, 1), batch_size=24), ckpt_path=callback.resume_from)
"""

NETWORK = """
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

HERE = Path(__file__).parent


def rows(count, seed):
    draw = torch.Generator().manual_seed(seed)
    return [(torch.randn(4, generator=draw), torch.randint(3, (), generator=draw)) for _ in range(count)]


class Network(nn.Module):
    def __init__(self, trial):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
        self.trial = [trial]
        with (HERE / "begun").open("a") as begun:
            begun.write(f"{trial.first_step}\\n")

    def forward(self, inputs, labels=None):
        if self.training and self.trial[0].step == 7 and (HERE / "interrupt").exists():
            (HERE / "interrupt").unlink()
            raise KeyboardInterrupt
        logits = self.layers(inputs)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}
"""

SPACE = """
horizon = 10
eval_interval = 2
[search]
trials = 1
budget_per_trial = 1.0
rungs = []
[confirm]
seeds = 1
studies = 1
candidates = 1
[arms.baseline]
role = "baseline"
lr = { log = [1e-3, 1e-1], published = 1e-2 }
[arms.mine]
lr = { log = [1e-3, 1e-1], published = 2e-2 }
"""

TRAINERS = pytest.mark.parametrize(
    ("trainer", "package"), [(HUGGING_FACE, "accelerate"), (LIGHTNING, "lightning")], ids=["hf", "lightning"]
)


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts a sweep of a script with a trainer in this process; returns its folder and the script's."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr("ire.sweeps.experiments.experiment.write_report", lambda *_: None)

    def write_and_start(trainer, *, checkpoint, interrupted):
        sys.modules.pop("train", None)
        folder = tmp_path / ("interrupted" if interrupted else "whole")
        folder.mkdir()
        (folder / "train.py").write_text(NETWORK + trainer.replace("CHECKPOINT", str(checkpoint)))
        (folder / "train.toml").write_text(SPACE)
        if interrupted:
            (folder / "interrupt").touch()
        home = sweep(
            f"{folder / 'train.py'}:train",
            inline=True,
            confirm_seeds=0,
            curve=False,
            checkpoint_seconds=0.0,
            storage=folder,
            name="sweep",
            console=Console(file=io.StringIO()),
        )
        return home.folder, folder

    yield write_and_start
    sys.modules.pop("train", None)


@TRAINERS
def test_an_interrupted_sweep_of_a_trainer_continues_and_equals_the_undisturbed_one(start, trainer, package):
    pytest.importorskip(package)
    whole, _ = start(trainer, checkpoint=True, interrupted=False)
    begun, script = start(trainer, checkpoint=True, interrupted=True)
    resume(begun, inline=True, console=Console(file=io.StringIO()))
    mine, theirs = ([(replace(row[0], task=""), *row[1:]) for row in rows(found)] for found in (begun, whole))
    assert mine == theirs, "but for where their scripts lie"
    assert {status for _, _, _, status, _ in mine} == {FINISHED}
    assert "6\n" in (script / "begun").read_text().splitlines(keepends=True), "it continued in the middle"


def test_without_a_checkpoint_an_interrupted_trainer_starts_from_the_beginning(start):
    pytest.importorskip("accelerate")
    begun, script = start(HUGGING_FACE, checkpoint=False, interrupted=True)
    resumed = resume(begun, inline=True, console=Console(file=io.StringIO()))
    assert resumed.is_complete
    assert set((script / "begun").read_text().split()) == {"0"}
    for trial in read_records(begun).trials.values():
        steps = [report["step"] for report in trial.reports]
        assert steps == sorted(set(steps))
