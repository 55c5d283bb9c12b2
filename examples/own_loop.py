"""An ordinary training loop that a sweep can compare: a plain network against one with dropout.

ire sweep own_loop.py:train      # the arms and their ranges stand in own_loop.toml
ire train own_loop.py:train mine --set lr=0.003
"""

import torch
from torch import nn
from torch.nn import functional as F

from ire import Trial


def split(name: str, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points in two noisy interleaved half circles, and which one each belongs to."""
    draw = torch.Generator().manual_seed(seed)
    count = {"train": 512, "validation": 1024, "test": 1024}[name]
    label = torch.randint(2, (count,), generator=draw)
    angle = torch.rand(count, generator=draw) * torch.pi
    x = torch.where(label == 0, angle.cos(), 1 - angle.cos())
    y = torch.where(label == 0, angle.sin(), 0.5 - angle.sin())
    points = torch.stack([x, y], 1) + 0.25 * torch.randn(count, 2, generator=draw)
    return points, label


def train(trial: Trial) -> None:
    dropout = trial.settings["dropout"] if trial.method == "mine" else 0.0
    torch.manual_seed(trial.seed)
    model = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Dropout(dropout), nn.Linear(64, 2)).to(trial.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=trial.settings["lr"])
    points, labels = split("train", seed=trial.study)
    if trial.saved:
        model.load_state_dict(trial.saved["model"])
        optimizer.load_state_dict(trial.saved["optimizer"])

    @torch.no_grad()
    def evaluate(name: str, seed: int) -> dict[str, float]:
        model.eval()
        inputs, targets = split(name, seed)
        logits = model(inputs.to(trial.device)).cpu()
        model.train()
        accuracy = (logits.argmax(1) == targets).float().mean()
        return {"loss": F.cross_entropy(logits, targets).item(), "accuracy": accuracy.item()}

    trial.test_metrics(lambda: evaluate("test", seed=2_000_000))
    for step in range(trial.first_step, trial.horizon):
        rows = torch.randint(
            len(points), (64,), generator=torch.Generator().manual_seed(trial.seed + 7919 * step)
        )
        loss = F.cross_entropy(model(points[rows].to(trial.device)), labels[rows].to(trial.device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if trial.due(step + 1):
            found = evaluate("validation", seed=1_000_000 + trial.study)
            trial.report(step + 1, train_loss=loss, val_loss=found["loss"], val_accuracy=found["accuracy"])
            trial.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
