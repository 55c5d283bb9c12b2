"""A Lightning module that a sweep can compare: batch normalisation against layer normalisation.

ire sweep own_lightning.py:train      # the arms and their ranges stand in own_lightning.toml
ire train own_lightning.py:train layer
"""

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset, random_split

from ire import Trial
from trainables.lightning import TrialCallback, trainer_arguments


class Digits(lightning.LightningModule):
    def __init__(self, norm: str, width: int, lr: float) -> None:
        super().__init__()
        make = nn.BatchNorm1d if norm == "batch" else nn.LayerNorm
        self.network = nn.Sequential(nn.Linear(64, width), make(width), nn.ReLU(), nn.Linear(width, 10))
        self.lr = lr

    def training_step(self, batch, index):
        loss = F.cross_entropy(self.network(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, index):
        logits = self.network(batch[0])
        self.log("val_loss", F.cross_entropy(logits, batch[1]))
        self.log("val_accuracy", (logits.argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.lr)


def train(trial: Trial) -> None:
    digits = load_digits()
    data = TensorDataset(torch.tensor(digits.data / 16).float(), torch.tensor(digits.target))
    rest, test = random_split(data, [1437, 360], torch.Generator().manual_seed(0))
    split = torch.Generator().manual_seed(1 + trial.study)
    training, validation = random_split(rest, [1137, 300], split)
    lightning.seed_everything(trial.seed, verbose=False)
    module = Digits(norm=trial.method, width=trial.settings["width"], lr=trial.settings["lr"])

    @torch.no_grad()
    def tested() -> dict[str, float]:
        module.eval()
        inputs, targets = next(iter(DataLoader(test, batch_size=len(test))))
        return {"loss": F.cross_entropy(module.network(inputs.to(module.device)).cpu(), targets).item()}

    trial.test_metrics(tested)
    callback = TrialCallback(trial, checkpoint=True)
    trainer = lightning.Trainer(**trainer_arguments(trial), callbacks=[callback])
    shuffled = DataLoader(training, batch_size=64, shuffle=True, drop_last=True)
    held_out = DataLoader(validation, batch_size=300)
    trainer.fit(module, shuffled, held_out, ckpt_path=callback.resume_from)
